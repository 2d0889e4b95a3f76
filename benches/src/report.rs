//! Every report of this benchmark is on disk before it is acknowledged; the peer is an fsync of an append to a file beside
//! the server's store.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tink_proto::v2025::action_status_request::StateType;
use tink_proto::v2025::workflow_service_client::WorkflowServiceClient;
use tink_proto::v2025::{ActionMessage, ActionStatusRequest};
use tokio::task::JoinSet;

use crate::server::Server;
use crate::statistics::{Samples, ratio};

const ACTIONS: usize = 200;
const CLIENTS: [usize; 3] = [1, 16, 64];
const FSYNCS: usize = 500;

pub fn run() -> Result<()> {
    tokio::runtime::Runtime::new().context("failed to start")?.block_on(async {
        let server = Server::start().await?;
        let mut fsync = fsyncs(server.dir())?;
        println!("fsync of a 1 KiB append: {}", fsync.summary());
        for clients in CLIENTS {
            let (mut samples, took) = reports(&server, clients).await?;
            let p50 = samples.quantile(50);
            println!(
                "{clients:>3} workers: {:>6.0} reports/s; {}; p50 is {:.1} x an fsync",
                samples.count() as f64 / took.as_secs_f64(),
                samples.summary(),
                ratio(p50, fsync.quantile(50)),
            );
        }
        Ok(())
    })
}

fn fsyncs(dir: &std::path::Path) -> Result<Samples> {
    let mut file = std::fs::File::create(dir.join("fsync")).context("failed to make a file")?;
    let mut samples = Samples::default();
    for _ in 0..FSYNCS {
        let begun = Instant::now();
        file.write_all(&[1; 1024]).and_then(|()| file.sync_data()).context("failed to write")?;
        samples.add(begun.elapsed());
    }
    Ok(samples)
}

/// Every client plays one worker that reports RUNNING and SUCCESS of each action of its workflow.
async fn reports(server: &Server, clients: usize) -> Result<(Samples, Duration)> {
    let mut prepared = Vec::new();
    for nth in 0..clients {
        let channel = server.channel().await?;
        let name = format!("report-{clients}-{nth}");
        server.template(&channel, &name, &name, ACTIONS).await?;
        prepared.push((channel.clone(), server.workflow(&channel, &name, &name).await?));
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (channel, workflow) in prepared {
        tasks.spawn(async move {
            let mut client = WorkflowServiceClient::new(channel);
            let mut samples = Samples::default();
            let key = workflow.key.unwrap_or_default();
            for task in &workflow.tasks {
                for (action, state) in
                    task.actions.iter().flat_map(|a| [(a, StateType::Running), (a, StateType::Success)])
                {
                    let request = ActionStatusRequest {
                        workflow_id: Some(format!("{}/{}", key.namespace, key.name)),
                        agent_id: Some(task.worker_id.clone()),
                        task_id: Some(task.id.clone()),
                        action_id: Some(action.id.clone()),
                        action_name: Some(action.name.clone()),
                        action_state: Some(state.into()),
                        execution_start: None,
                        execution_stop: None,
                        execution_duration: Some("1s".to_owned()),
                        message: Some(ActionMessage { message: Some("exit code 0".to_owned()) }),
                        leaving: None,
                    };
                    let begun = Instant::now();
                    client.report_action_status(request).await.context("a report was refused")?;
                    samples.add(begun.elapsed());
                }
            }
            anyhow::Ok(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(samples) = tasks.join_next().await {
        all.merge(samples.context("a client panicked")??);
    }
    Ok((all, begun.elapsed()))
}
