//! `cargo bench -p tink-server`: how fast reports are acknowledged, every one on disk, and how soon a held call is woken.
//!
//! Prints medians and 99th percentiles beside the time of a bare fsync on the same disk, which is what the numbers
//! must be read against. The data file is made in `TINK_BENCH_DIR`, else in the directory for temporary files.
#![expect(clippy::unwrap_used, reason = "a benchmark that fails says where")]

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tink_proto::admin::object_service_client::ObjectServiceClient;
use tink_proto::admin::workflow_service_client::WorkflowServiceClient as AdminClient;
use tink_proto::admin::{ApplyRequest, CreateWorkflowRequest, Kind};
use tink_proto::v2025::workflow_service_client::WorkflowServiceClient;
use tink_proto::v2025::{ActionRequest, ActionStatusRequest};
use tink_server::{Config, Place, Running};
use tonic::transport::Channel;

/// Actions of each workflow: what a real template has.
const ACTIONS: usize = 10;

fn main() {
    // `cargo test` runs benchmarks, too, to see that they run.
    let quick = std::env::args().any(|argument| argument == "--test");
    let directory = match std::env::var_os("TINK_BENCH_DIR") {
        Some(directory) => tempfile::tempdir_in(directory).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    print("fsync of an append of 4 KiB", &mut bare_fsyncs(directory.path(), if quick { 3 } else { 500 }));
    runtime.block_on(async {
        let data = Place::File(directory.path().join("tink.db"));
        let running = tink_server::start(Config { data, ..Config::embedded() }).await.unwrap();
        for (clients, workflows) in if quick { vec![(2, 1)] } else { vec![(1, 30), (16, 10), (64, 5), (256, 2)] } {
            reports(&running, clients, workflows).await;
        }
        wakes(&running, if quick { 2 } else { 200 }).await;
        running.shutdown().await;
    });
}

fn bare_fsyncs(directory: &Path, count: usize) -> Vec<Duration> {
    let mut file = std::fs::File::create(directory.join("fsync")).unwrap();
    let once = |_| {
        let began = Instant::now();
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
        began.elapsed()
    };
    (0..count).map(once).collect()
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!("{what:<52} p50 {:>9.1?}  p99 {:>9.1?}  (n = {})", at(50), at(99), times.len());
}

async fn connect(running: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", running.grpc_addr())).unwrap().connect().await.unwrap()
}

async fn create(channel: &Channel, worker: &str, name: &str, actions: usize) {
    let mut data = format!("name: bench\nglobal_timeout: 3600\ntasks:\n- name: t\n  worker: {worker}\n  actions:\n");
    for nth in 0..actions {
        data.push_str(&format!("  - name: a{nth}\n    image: example.test/image:{nth}\n    timeout: 600\n"));
        data.push_str("    environment: {DEST_DISK: /dev/nvme0n1, IMG_URL: 'http://192.0.2.1:8080/image.raw.gz'}\n");
    }
    let object = |kind: &str, spec: serde_json::Value| {
        let api = "tinkerbell.org/v1alpha1";
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}).to_string()
    };
    let template = ApplyRequest { kind: Kind::Template.into(), json: object("Template", json!({"data": data})) };
    ObjectServiceClient::new(channel.clone()).apply(template).await.unwrap();
    let manifest_json = object("Workflow", json!({"templateRef": name}));
    AdminClient::new(channel.clone()).create(CreateWorkflowRequest { manifest_json }).await.unwrap();
}

/// `clients` workers at once, each with a connection of its own, each running its workflows to the end.
async fn reports(running: &Running, clients: usize, workflows: usize) {
    let admin = connect(running).await;
    for client in 0..clients {
        for nth in 0..workflows {
            create(&admin, &format!("m{clients}-{client}"), &format!("w{clients}-{client}-{nth}"), ACTIONS).await;
        }
    }
    let mut crowd = tokio::task::JoinSet::new();
    let began = Instant::now();
    for client in 0..clients {
        let mut agents = WorkflowServiceClient::new(connect(running).await);
        let worker = format!("m{clients}-{client}");
        crowd.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..workflows * ACTIONS {
                let request = ActionRequest { agent_id: Some(worker.clone()), agent_attributes: None };
                let action = agents.get_action(request).await.unwrap().into_inner();
                for state in [2, 5] {
                    let report = ActionStatusRequest {
                        workflow_id: action.workflow_id.clone(),
                        agent_id: action.agent_id.clone(),
                        task_id: action.task_id.clone(),
                        action_id: action.action_id.clone(),
                        action_state: Some(state),
                        ..Default::default()
                    };
                    let began = Instant::now();
                    agents.report_action_status(report).await.unwrap();
                    times.push(began.elapsed());
                }
            }
            times
        });
    }
    let mut times: Vec<Duration> = crowd.join_all().await.into_iter().flatten().collect();
    let took = began.elapsed().as_secs_f64();
    print(&format!("report acknowledged, {clients} workers"), &mut times);
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
    let (reports, calls) = (times.len() as f64, times.len() as f64 * 1.5);
    println!("{:<52} {:.0} durable reports/s ({:.0} calls/s with GetAction)", "", reports / took, calls / took);
}

/// From "create" sent to "action" received, by a worker that waits.
async fn wakes(running: &Running, count: usize) {
    let admin = connect(running).await;
    let mut agents = WorkflowServiceClient::new(connect(running).await);
    let mut times = Vec::new();
    for nth in 0..count {
        // A worker of its own each time: nothing of the last round is open.
        let worker = format!("waiting{nth}");
        let request = ActionRequest { agent_id: Some(worker.clone()), agent_attributes: None };
        let waiting = async {
            agents.get_action(request).await.unwrap();
            Instant::now()
        };
        let creating = async {
            let began = Instant::now();
            create(&admin, &worker, &worker, ACTIONS).await;
            began
        };
        let (received, began) = tokio::join!(waiting, creating);
        times.push(received - began);
    }
    print("template applied, workflow created, action received", &mut times);
}
