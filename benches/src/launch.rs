//! A trivial action, from the call to its first instruction and to its end, under the embedded runtime, `runc run` and
//! `docker run`, in turns. All of them get the same program, the host's network and a volume; `docker` and the embedded
//! runtime are asked for a privileged container, as every action is one. All of their state is in memory, as in an
//! installer OS; a disk's file system that many files have just come and gone in takes its time for each further one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tink_e2e::{Dockerd, TestRun, system_program};
use tink_image::ImageBuilder;
use tink_runtime::{ContainerSpec, EmbeddedRuntime, Identity, Options, Progress, Purpose, Runtime};
use tink_workflow::{ActionId, ImageRef, WorkerId, WorkflowId};

use crate::inside;
use crate::statistics::{Samples, ratio};

const ROUNDS: usize = 60;
const DOCKER_ROUNDS: usize = 15;
/// Set to anything, the peers are left out: for a profiler, which then sees the embedded runtime alone.
const ALONE: &str = "TINK_BENCH_ALONE";
const IMAGE: &str = "localhost/tink-bench:latest";
/// Below the volume's target.
const STAMP: &str = "/out/stamp";

/// Times of one way to run it.
#[derive(Default)]
struct Times {
    first: Samples,
    exit: Samples,
}

/// The image of the trivial action, as an archive.
pub fn archive(to: &Path) -> Result<ImageRef> {
    let name = ImageRef::parse(IMAGE).context("failed to name the image")?;
    let dir = tempfile::tempdir().context("failed to make a directory")?;
    let program = inside::program(dir.path())?;
    let mut image = ImageBuilder::new();
    let built = image.file("trivial", &program, 0o755).entrypoint(["/trivial"]).write_archive(to, &name);
    built.context("failed to make the image")?;
    Ok(name)
}

pub fn run() -> Result<()> {
    let run = TestRun::in_memory("bench-launch")?;
    let out = run.scratch().join("out");
    std::fs::create_dir(&out).context("failed to make a directory")?;
    let archive_path = run.scratch().join("image.tar");
    let image = archive(&archive_path)?;
    let peers = if std::env::var_os(ALONE).is_none() { Some(Peers::start(&run, &archive_path, &out)?) } else { None };
    // As tink-worker has them.
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let threads = threads.context("failed to start")?;
    let runtime = Arc::new(EmbeddedRuntime::open(&Options::new(run.scratch().join("state")))?);
    threads.block_on(runtime.import(&archive_path, None, &Progress::new()))?;

    let [mut embedded, mut runc, mut docker] = [(); 3].map(|()| Times::default());
    let mut remove = Samples::default();
    for round in 0..ROUNDS {
        let action = embedded_once(Arc::clone(&runtime), spec(&image, &out, round)?, out.clone());
        // The worker's actions are tasks of their own, too.
        let taken = threads.block_on(threads.spawn(action)).context("failed to run a task")??;
        embedded.first.add(taken.first);
        embedded.exit.add(taken.exit);
        remove.add(taken.remove);
        let Some(peers) = &peers else { continue };
        command_once(runc_command(&peers.bundle, round)?, &out, &mut runc)?;
        if round % (ROUNDS / DOCKER_ROUNDS) == 0 {
            let mut command = Command::new(system_program("docker")?);
            let volume = format!("{}:/out", text(&out)?);
            command.args([
                "--host",
                &peers.dockerd.host(),
                "run",
                "--privileged",
                "--network",
                "host",
                "--volume",
                &volume,
            ]);
            command.arg(IMAGE).arg(STAMP);
            command_once(command, &out, &mut docker)?;
        }
    }
    for (what, of) in [("to the first instruction", 0), ("to the exit", 1)] {
        if peers.is_none() {
            println!("{what}: embedded {}", embedded.of(of).summary());
            continue;
        }
        let [mut ours, mut low, mut high] = [&embedded, &runc, &docker].map(|times| times.of(of));
        println!("{what}:");
        println!("  embedded    {}", ours.summary());
        println!("  runc run    {}", low.summary());
        println!("  docker run  {}", high.summary());
        let [own, runc, docker] = [&mut ours, &mut low, &mut high].map(|samples| samples.quantile(50));
        println!(
            "  embedded is {:.3} of runc (goal 0.333) and {:.4} of docker (goal 0.0333)",
            ratio(own, runc),
            ratio(own, docker)
        );
    }
    println!("removing it (embedded): {}", remove.summary());
    Ok(())
}

/// What the embedded runtime is measured against.
struct Peers {
    dockerd: Dockerd,
    bundle: PathBuf,
}

impl Peers {
    fn start(run: &TestRun, archive: &Path, out: &Path) -> Result<Self> {
        let dockerd = Dockerd::start(run)?;
        dockerd.run(run, ["load", "--input", text(archive)?])?;
        Ok(Self { dockerd, bundle: bundle(run, out)? })
    }
}

impl Times {
    fn of(&self, which: usize) -> Samples {
        if which == 0 { self.first.clone() } else { self.exit.clone() }
    }
}

fn spec(image: &ImageRef, out: &Path, round: usize) -> Result<ContainerSpec> {
    Ok(ContainerSpec {
        identity: Identity {
            workflow: WorkflowId::parse("default/bench").context("failed to name a workflow")?,
            action: ActionId::parse(format!("round-{round}")).context("failed to name an action")?,
            action_name: "trivial".to_owned(),
            worker: WorkerId::parse("bench").context("failed to name a worker")?,
            attempt: 1,
            purpose: Purpose::Action,
        },
        image: image.clone(),
        command: vec![STAMP.to_owned()],
        environment: Vec::new(),
        volumes: vec![format!("{}:/out", text(out)?)],
        pid: String::new(),
        network: String::new(),
        tty: false,
    })
}

/// What one action took.
struct Taken {
    first: Duration,
    exit: Duration,
    remove: Duration,
}

/// As the worker does it: the call to the runtime, the wait, and afterwards the removal.
async fn embedded_once(runtime: Arc<EmbeddedRuntime>, spec: ContainerSpec, out: PathBuf) -> Result<Taken> {
    let (begun, begun_ns) = (Instant::now(), inside::monotonic_ns());
    let record = runtime.start(&spec).await?;
    let ended = runtime.wait(&record).await?;
    let exit = begun.elapsed();
    ensure!(ended.success(), "the embedded runtime's container ended with {ended}");
    let first = inside::taken(&out.join("stamp"))?;
    let first = Duration::from_nanos(first.saturating_sub(begun_ns));
    let begun = Instant::now();
    runtime.remove(&record).await?;
    Ok(Taken { first, exit, remove: begun.elapsed() })
}

fn command_once(mut command: Command, out: &Path, times: &mut Times) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let (begun, begun_ns) = (Instant::now(), inside::monotonic_ns());
    let status = command.status().context("failed to start a container")?;
    times.exit.add(begun.elapsed());
    ensure!(status.success(), "{command:?} ended with {status}");
    times.first.add(Duration::from_nanos(inside::taken(&out.join("stamp"))?.saturating_sub(begun_ns)));
    Ok(())
}

/// An unpacked root file system and runc's own default specification, with the host's network and the volume.
fn bundle(run: &TestRun, out: &Path) -> Result<PathBuf> {
    let bundle = run.scratch().join("bundle");
    std::fs::create_dir_all(bundle.join("rootfs")).context("failed to make a bundle")?;
    inside::program(&bundle.join("rootfs"))?;
    let made = Command::new(system_program("runc")?).arg("spec").current_dir(&bundle).status();
    ensure!(made.context("failed to run runc")?.success(), "runc spec failed");
    let path = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&std::fs::read(&path).context("runc spec wrote nothing")?)?;
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["/trivial", STAMP]);
    spec["root"]["readonly"] = json!(false);
    if let Some(namespaces) = spec["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|one| one["type"] != "network");
    }
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        mounts.push(json!({"destination": "/out", "type": "none", "source": text(out)?, "options": ["rbind", "rw"]}));
    }
    std::fs::write(&path, spec.to_string()).context("failed to write the bundle's specification")?;
    Ok(bundle)
}

fn runc_command(bundle: &Path, round: usize) -> Result<Command> {
    let mut command = Command::new(system_program("runc")?);
    let state = bundle.with_file_name("runc");
    command.arg("--root").arg(state).arg("run").arg("--bundle").arg(bundle).arg(format!("tink-bench-{round}"));
    Ok(command)
}

pub fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
