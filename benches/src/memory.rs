//! Resident memory (`VmRSS`) of processes that are connected and have nothing to do.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tink_proto::admin::ListWorkersRequest;
use tink_proto::admin::worker_service_client::WorkerServiceClient;

use crate::binaries;
use crate::server::Server;

const DEADLINE: Duration = Duration::from_secs(30);

pub fn run() -> Result<()> {
    tokio::runtime::Runtime::new().context("failed to start")?.block_on(async {
        let server = Server::start().await?;
        let worker = Worker(
            Command::new(binaries::path("tink-worker")?)
                .args(["--id", "bench", "--grpc-server", server.address(), "--runtime", "embedded", "--state-dir"])
                .arg(server.dir().join("worker"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("failed to start tink-worker")?,
        );
        let mut workers = WorkerServiceClient::new(server.channel().await?);
        let until = Instant::now() + DEADLINE;
        while !workers.list(ListWorkersRequest {}).await?.into_inner().workers.iter().any(|worker| worker.connected) {
            ensure!(Instant::now() < until, "the worker did not connect");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("idle worker: {} (goal: below 10 MB)", resident(worker.0.id())?);
        println!("idle server: {}", resident(server.pid())?);
        Ok(())
    })
}

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn resident(pid: u32) -> Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("failed to read /proc")?;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    let (all, own) = (kib("VmRSS:").context("no VmRSS")?, kib("RssAnon:").context("no RssAnon")?);
    Ok(format!("{:.1} MB resident, {:.1} MB of it not backed by the binary", all * 1024.0 / 1e6, own * 1024.0 / 1e6))
}
