//! A worker waits, a workflow is created: how long until its runtime is told to start the container? The runtime is one of
//! our own that notes the moment and reports an exit at once; the peer is a call of the same server that does nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use tink_proto::admin::ListWorkersRequest;
use tink_proto::admin::worker_service_client::WorkerServiceClient;
use tink_runtime::{
    ContainerSpec, ExitCause, ExitStatus, HandleRecord, Identity, LogPosition, LogSink, Progress, PullOutcome,
    Recovered, Runtime, RuntimeError,
};
use tink_worker::transport::grpc::{GrpcSettings, v2025::Transport2025};
use tink_worker::{CancellationToken, Settings, Worker};
use tink_workflow::{ImageRef, WorkerId};
use tokio::sync::mpsc;

use crate::server::Server;
use crate::statistics::{Samples, ratio};

const ROUNDS: usize = 200;
const WORKER: &str = "bench-worker";
const DEADLINE: Duration = Duration::from_secs(30);

pub fn run() -> Result<()> {
    tokio::runtime::Runtime::new().context("failed to start")?.block_on(measure())
}

async fn measure() -> Result<()> {
    let server = Server::start().await?;
    let channel = server.channel().await?;
    server.template(&channel, "one", WORKER, 1).await?;
    server.template(&channel, "ten", WORKER, 10).await?;

    let (starts, mut started) = mpsc::channel(16);
    let id = WorkerId::parse(WORKER).context("failed to name the worker")?;
    let transport = Transport2025::new(&GrpcSettings::plaintext(server.address()), id.clone())?;
    let runtime = Arc::new(Stopwatch { starts });
    let worker = Worker::new(Settings::new(id, server.dir().join("worker")), Arc::new(transport), runtime)?;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });

    let mut empty = Samples::default();
    let mut workers = WorkerServiceClient::new(channel.clone());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        workers.list(ListWorkersRequest {}).await?;
        empty.add(begun.elapsed());
    }
    let mut one = Samples::default();
    for round in 0..ROUNDS {
        let created = {
            server.workflow(&channel, &format!("one-{round}"), "one").await?;
            Instant::now()
        };
        let at = next(&mut started).await?;
        one.add(at.saturating_duration_since(created));
    }
    let mut between = Samples::default();
    for round in 0..ROUNDS / 10 {
        server.workflow(&channel, &format!("ten-{round}"), "ten").await?;
        let mut last = next(&mut started).await?;
        for _ in 1..10 {
            let at = next(&mut started).await?;
            between.add(at.saturating_duration_since(last));
            last = at;
        }
    }
    stop.cancel();
    running.await.context("the worker panicked")?;
    println!("an empty call:                     {}", empty.summary());
    println!("created -> start requested:        {}", one.summary());
    println!("start -> start of the next action: {}", between.summary());
    println!(
        "the first is {:.1} x, the second {:.1} x an empty call (goal: below 20 ms from created to start requested)",
        ratio(one.quantile(50), empty.quantile(50)),
        ratio(between.quantile(50), empty.quantile(50))
    );
    Ok(())
}

async fn next(started: &mut mpsc::Receiver<Instant>) -> Result<Instant> {
    let next = tokio::time::timeout(DEADLINE, started.recv()).await.context("no container was started for 30 s")?;
    next.context("the worker ended")
}

/// A runtime that notes when a container is to be started.
#[derive(Debug)]
struct Stopwatch {
    starts: mpsc::Sender<Instant>,
}

const EXIT: ExitStatus = ExitStatus { cause: ExitCause::Code(0), oom: false, started_at: None, stopped_at: None };

#[async_trait]
impl Runtime for Stopwatch {
    fn name(&self) -> &'static str {
        "stopwatch"
    }

    async fn pull(&self, _: &ImageRef, _: &Progress) -> Result<PullOutcome, RuntimeError> {
        Ok(PullOutcome::Registry)
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        // The receiver goes first at the end of the run.
        let _ = self.starts.send(Instant::now()).await;
        Ok(HandleRecord {
            runtime: self.name().to_owned(),
            container: spec.identity.container_name(),
            identity: spec.identity.clone(),
            engine: serde_json::Value::Null,
        })
    }

    async fn recover(&self, _: &HandleRecord) -> Result<Recovered, RuntimeError> {
        Ok(Recovered::Exited(EXIT))
    }

    async fn find(&self, _: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        Ok(None)
    }

    async fn wait(&self, _: &HandleRecord) -> Result<ExitStatus, RuntimeError> {
        Ok(EXIT)
    }

    async fn logs(&self, _: &HandleRecord, _: LogPosition, _: &mut dyn LogSink) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn stop(&self, _: &HandleRecord, _: Duration) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn remove(&self, _: &HandleRecord) -> Result<(), RuntimeError> {
        Ok(())
    }
}
