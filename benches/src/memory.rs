//! Resident memory (`VmRSS`) of processes that are connected and have nothing to do, and of what one running action needs,
//! against a container engine that runs the same.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tink_e2e::{Dockerd, TestRun};
use tink_oci::Status;
use tink_proto::admin::ListWorkersRequest;
use tink_proto::admin::worker_service_client::WorkerServiceClient;

use crate::binaries;
use crate::launch::{archive, text};
use crate::process::{children, parent, proportional_bytes, status_bytes};
use crate::server::Server;

const DEADLINE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

pub fn run() -> Result<()> {
    let run = TestRun::new("bench-memory")?;
    let images = run.scratch().join("images");
    std::fs::create_dir(&images).context("failed to make a directory")?;
    let archive_path = images.join("bench.tar");
    let image = archive(&archive_path)?.to_string();
    tokio::runtime::Runtime::new().context("failed to start")?.block_on(workers(&image, &images))?;
    engine(&run, &image, &archive_path)
}

async fn workers(image: &str, images: &Path) -> Result<()> {
    let server = Server::start().await?;
    let state = server.dir().join("worker");
    let mut worker = Worker::start(&server, &state, &[])?;
    worker.connects(&server).await?;
    println!("idle worker: {} (goal: below 10 MB)", resident(worker.0.id())?);
    println!("idle server: {}", resident(server.pid())?);
    drop(worker);

    worker = Worker::start(&server, &state, &["--images", text(images)?])?;
    let channel = server.channel().await?;
    server.template_of(&channel, "sits", "bench", image, &[]).await?;
    server.workflow(&channel, "sits", "sits").await?;
    let until = Instant::now() + DEADLINE;
    let (dir, shim) = loop {
        let containers = std::fs::read_dir(state.join("containers")).into_iter().flatten().flatten();
        let running = containers.map(|entry| entry.path()).find_map(|dir| match tink_oci::status(&dir) {
            Ok(Status::Running(record)) => Some((dir, record.shim.pid)),
            _ => None,
        });
        if let Some(found) = running {
            break found;
        }
        ensure!(Instant::now() < until, "the action does not run");
        tokio::time::sleep(LOOK).await;
    };
    let shim = u32::try_from(shim).context("no process id")?;
    // The worker's process that forks the shims, and has one more of them at hand.
    let forker = parent(shim)?;
    let mut pids = vec![worker.0.id(), forker];
    pids.extend(children(forker)?);
    ensure!(pids.contains(&shim), "the shim is not the forker's child");
    println!("worker, its forker and the shim of one running action: {} (goal: below 12 MB)", sum(&pids)?);
    println!("  of it the shim: {}", resident(shim)?);
    drop(worker);
    tink_oci::remove(&dir).await.context("failed to end the action")
}

/// The same program under Docker: daemons and shim.
fn engine(run: &TestRun, image: &str, archive: &Path) -> Result<()> {
    let mut dockerd = Dockerd::start(run)?;
    dockerd.run(run, ["load", "--input", text(archive)?])?;
    let command = ["run", "--detach", "--privileged", "--network", "host", image];
    dockerd.run(run, command)?;
    let containerd = dockerd.containerd_pid();
    let own = dockerd.process().context("no dockerd")?.pid();
    let shims = std::fs::read_dir("/proc").context("failed to read /proc")?.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        (command.contains("containerd-shim") && command.contains(text(run.scratch()).ok()?)).then_some(pid)
    });
    let pids: Vec<u32> = [own, containerd].into_iter().chain(shims).collect();
    ensure!(pids.len() > 2, "the container has no shim");
    println!("dockerd, containerd and the shim of the same: {}", sum(&pids)?);
    Ok(())
}

struct Worker(Child);

impl Worker {
    fn start(server: &Server, state: &Path, more: &[&str]) -> Result<Self> {
        let child = Command::new(binaries::path("tink-worker")?)
            .args(["--id", "bench", "--grpc-server", server.address(), "--runtime", "embedded", "--state-dir"])
            .arg(state)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start tink-worker")?;
        Ok(Self(child))
    }

    async fn connects(&self, server: &Server) -> Result<()> {
        let mut workers = WorkerServiceClient::new(server.channel().await?);
        let until = Instant::now() + DEADLINE;
        while !workers.list(ListWorkersRequest {}).await?.into_inner().workers.iter().any(|worker| worker.connected) {
            ensure!(Instant::now() < until, "the worker did not connect");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn resident(pid: u32) -> Result<String> {
    let (all, own) = (status_bytes(pid, "VmRSS:")?, status_bytes(pid, "RssAnon:")?);
    Ok(format!("{:.1} MB resident, {:.1} MB of it not backed by the binary", megabytes(all), megabytes(own)))
}

/// Of several processes.
fn sum(pids: &[u32]) -> Result<String> {
    let of = |what: &dyn Fn(u32) -> Result<u64>| pids.iter().map(|pid| what(*pid)).sum::<Result<u64>>();
    let (all, share) = (of(&|pid| status_bytes(pid, "VmRSS:"))?, of(&proportional_bytes)?);
    Ok(format!("{:.1} MB resident, {:.1} MB with shared pages counted once", megabytes(all), megabytes(share)))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
