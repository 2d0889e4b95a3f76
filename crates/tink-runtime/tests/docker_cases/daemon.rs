//! The daemon stops, is killed, comes back, hangs, or keeps no logs.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tink_e2e::eventually;
use tink_runtime::{ExitCause, LogPosition, Recovered, Runtime};

use super::{MINUTES, own_dockerd, test_run, within};
use crate::contract::{Tail, shell};

/// Prints a number every 20 ms until it is told to end; answers to SIGTERM.
const COUNTER: &str = "trap 'exit 0' TERM; i=0; while [ ! -e /shared/stop ]; do i=$((i+1)); echo $i; sleep 0.02; done";

fn assert_contiguous(lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, (index + 1).to_string(), "a gap or a repeat");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_and_wait_go_on_when_the_daemon_is_restarted_under_a_running_container() {
    let run = test_run("live-restore");
    let (mut dockerd, docker) = own_dockerd(&run, &[("live-restore", json!(true))]).await;
    let docker: Arc<dyn Runtime> = Arc::new(docker);
    let mut spec = shell(COUNTER);
    spec.volumes = vec![format!("{}/shared:/shared", run.scratch().display())];
    let record = within(docker.start(&spec)).await.expect("it starts");
    let mut tail = Tail::start(&docker, &record, LogPosition::START);
    let wait = tokio::spawn({
        let (docker, record) = (Arc::clone(&docker), record.clone());
        async move { docker.wait(&record).await }
    });
    tail.line("20").await;
    dockerd.stop().expect("the daemon stops");
    assert!(within(docker.recover(&record)).await.expect_err("nobody answers").is_retryable());
    dockerd.start_again(&run).expect("the daemon starts");
    assert_eq!(within(docker.recover(&record)).await.expect("an answer"), Recovered::Running);
    let seen: u64 = 300;
    tail.line(&seen.to_string()).await;
    std::fs::write(run.scratch().join("shared/stop"), "").expect("it is told to end");
    let status = tokio::time::timeout(MINUTES, wait).await.expect("in time").expect("no panic").expect("an end");
    assert!(status.success(), "{status}");
    assert_contiguous(&tail.finish().await.stdout());
    within(docker.remove(&record)).await.expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_stops_its_containers_loses_no_line_and_no_exit() {
    let run = test_run("stop");
    let (mut dockerd, docker) = own_dockerd(&run, &[]).await;
    let docker: Arc<dyn Runtime> = Arc::new(docker);
    let mut spec = shell(&COUNTER.replace("exit 0", "echo bye >&2; exit 11"));
    spec.volumes = vec![format!("{}/shared:/shared", run.scratch().display())];
    let record = within(docker.start(&spec)).await.expect("it starts");
    let mut tail = Tail::start(&docker, &record, LogPosition::START);
    let wait = tokio::spawn({
        let (docker, record) = (Arc::clone(&docker), record.clone());
        async move { docker.wait(&record).await }
    });
    tail.line("20").await;
    dockerd.stop().expect("the daemon stops");
    dockerd.start_again(&run).expect("the daemon starts");
    let status = tokio::time::timeout(MINUTES, wait).await.expect("in time").expect("no panic").expect("an end");
    assert_eq!(status.cause, ExitCause::Code(11));
    let output = tail.finish().await;
    assert_contiguous(&output.stdout());
    assert_eq!(output.stderr(), ["bye"]);
    assert_eq!(within(docker.recover(&record)).await.expect("an answer"), Recovered::Exited(status));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_arrives_where_the_log_cannot_be_read() {
    let run = test_run("no-log");
    let (_dockerd, docker) = own_dockerd(&run, &[("log-driver", json!("none"))]).await;
    let docker: Arc<dyn Runtime> = Arc::new(docker);
    let record = within(docker.start(&shell("echo at once; echo err >&2"))).await.expect("it starts");
    // Even what was printed before anybody asked.
    assert!(within(docker.wait(&record)).await.expect("an end").success());
    let output = Tail::start(&docker, &record, LogPosition::START).finish().await;
    assert_eq!((output.stdout(), output.stderr()), (vec!["at once".to_owned()], vec!["err".to_owned()]));
    assert!(Tail::start(&docker, &record, LogPosition::START).finish().await.0.is_empty(), "it is there only once");
    within(docker.remove(&record)).await.expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_the_local_driver_are_bounded_and_read_on_as_well() {
    let run = test_run("local-log");
    let (dockerd, _docker) = own_dockerd(&run, &[("log-driver", json!("local"))]).await;
    let bench = crate::bench_on(dockerd.socket()).await;
    crate::contract::output_without_end_is_bounded_on_disk_and_each_line_is_delivered_once(&bench).await;
    crate::contract::what_a_worker_was_away_for_goes_on_at_the_oldest_line_that_is_left(&bench).await;
}

/// Until each thread is stopped: a signal takes its time to reach the last one.
fn all_stopped(threads: &str) -> Result<(), String> {
    let is_stopped = |stat: &str| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
    for thread in std::fs::read_dir(threads).map_err(|error| error.to_string())?.flatten() {
        let stat = std::fs::read_to_string(thread.path().join("stat")).map_err(|error| error.to_string())?;
        if !is_stopped(&stat) {
            return Err(stat);
        }
    }
    Ok(())
}

/// Stopped, not ended: it takes connections and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_is_a_transient_error() {
    let run = test_run("hang");
    let (mut dockerd, docker) = own_dockerd(&run, &[]).await;
    let record = within(docker.start(&shell("sleep 1000"))).await.expect("it starts");
    let daemon = dockerd.process().expect("it runs");
    daemon.signal(Signal::STOP).expect("it is stopped");
    let threads = format!("/proc/{}/task", daemon.pid());
    eventually("the last thread to stop", MINUTES, || all_stopped(&threads)).expect("it is stopped");
    let recovered = within(docker.recover(&record)).await;
    let connect = within(tink_runtime::DockerRuntime::connect(docker.socket(), vec![])).await;
    // Before anything is found wrong: nobody could clear up with a daemon that hangs.
    daemon.signal(Signal::CONT).expect("it goes on");
    let error = recovered.expect_err("nobody answers");
    assert!(error.is_retryable(), "{error}");
    assert!(connect.expect_err("nobody answers").is_retryable());
    within(docker.stop(&record, Duration::ZERO)).await.expect("stopped");
    within(docker.remove(&record)).await.expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_a_killed_daemon_was_starting_is_not_started_again() {
    let run = test_run("created");
    let (mut dockerd, docker) = own_dockerd(&run, &[("live-restore", json!(true))]).await;
    let spec = shell("true");
    let labels: Vec<String> = spec.identity.labels().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let create = |dockerd: &tink_e2e::Dockerd| {
        let mut args = vec!["create".to_owned()];
        args.extend(labels.iter().flat_map(|label| ["--label".to_owned(), label.clone()]));
        args.push(spec.image.to_string());
        dockerd.run(&run, args).expect("it is created");
    };
    create(&dockerd);
    assert_eq!(
        within(docker.find(&spec.identity)).await.expect("an answer"),
        None,
        "this daemon knows that it never ran"
    );
    let left = dockerd.run(&run, ["ps", "--all", "--quiet"]).expect("a list").stdout;
    assert_eq!(left, "", "what never ran is removed");
    create(&dockerd);
    assert!(dockerd.kill().expect("it is killed"));
    dockerd.start_again(&run).expect("it starts");
    let found = within(docker.find(&spec.identity)).await.expect("an answer").expect("it may have run");
    assert_eq!(within(docker.recover(&found)).await.expect("an answer"), Recovered::Gone);
    within(docker.remove(&found)).await.expect("removed");
}
