//! What the tests share: a server, a registry, workers on the embedded runtime.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tink_e2e::stack::{DEADLINE, Stack, path_text};
use tink_e2e::{BuiltImage, Census, Finished, Launch, Process, Registry, Scope, TestImage, TestRun, eventually};

pub const USER: &str = "tink";
pub const PASSWORD: &str = "correct-horse-battery";

/// A stack, and a registry that holds `<test>/busybox:v1`.
pub struct Site<'r> {
    pub run: &'r TestRun,
    pub stack: Stack<'r>,
    pub registry: Registry,
    pub image: String,
    before: Census,
}

impl<'r> Site<'r> {
    pub fn start(run: &'r TestRun) -> Result<Self> {
        let registry = Registry::launch(run).auth(USER, PASSWORD).start()?;
        let image = image_of(run)?;
        let image = registry.push(&format!("{}/busybox", run.name().replace('_', "-")), "v1", &image)?.reference;
        let stack = Stack::start(run)?;
        let before = Census::take(Scope::Machine)?;
        Ok(Self { run, stack, registry, image, before })
    }

    /// A worker with the right password.
    pub fn worker(&self, id: &str) -> Result<Launch> {
        self.worker_with(id, PASSWORD)
    }

    pub fn worker_with(&self, id: &str, password: &str) -> Result<Launch> {
        let credentials = ["--registry-name", &self.registry.address(), "--registry-user", USER];
        let launch = self.stack.worker(id)?.args(["--runtime", "embedded"]).args(credentials);
        Ok(launch.env("AGENT_REGISTRY_PASS", password))
    }

    /// An action that runs a shell script. Its command line names the run, so that a process left behind is seen.
    pub fn action(&self, name: &str, script: &str, more: &str) -> Result<String> {
        let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
        let script = json!(format!("{script} # {}", path_text(self.run.scratch())?));
        let image = &self.image;
        Ok(format!("  - name: {name}\n    image: {image}\n    timeout: 60\n    command: [sh, -c, {script}]\n{more}"))
    }

    /// A directory of the run, and the line of an action that mounts it at `/shared`.
    pub fn shared(&self, name: &str) -> Result<(PathBuf, String)> {
        let shared = self.run.scratch().join(name);
        fs::create_dir(&shared)?;
        let volume = format!("volumes: [{}:/shared]", path_text(&shared)?);
        Ok((shared, volume))
    }

    /// Runs a command of `tink` about the containers and images of a worker.
    pub fn on_machine(&self, worker: &str, args: &[&str]) -> Result<Finished> {
        let mut process = self.start_on_machine(worker, args)?;
        finished(&mut process)
    }

    pub fn start_on_machine(&self, worker: &str, args: &[&str]) -> Result<Process> {
        let launch = Process::binary("tink")?.env("TINK_STATE_DIR", self.stack.worker_dir(worker));
        launch.args(args).start(self.run)
    }

    /// What `tink ps` lists.
    pub fn ps(&self, worker: &str) -> Result<Vec<Value>> {
        let listed = self.on_machine(worker, &["ps", "-o", "json"])?;
        ensure!(listed.code == Some(0), "{}", listed.stderr);
        let value: Value = serde_json::from_str(&listed.stdout)?;
        value.as_array().cloned().with_context(|| format!("not a list: {value}"))
    }

    /// Once every worker has ended: no mount, cgroup, process or loop device that was not there before, and no container.
    ///
    /// `names` are the names of the actions that ran.
    pub fn leaves_nothing(&self, workers: &[&str], names: &[&str]) -> Result<()> {
        Census::settles_to(&self.before, Scope::Run(self.run, names), DEADLINE)?;
        for worker in workers {
            let left: Vec<_> = match fs::read_dir(self.stack.worker_dir(worker).join("containers")) {
                Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            ensure!(left.is_empty(), "containers of {worker} are left: {left:?}");
        }
        Ok(())
    }
}

pub fn task(name: &str, worker: &str, actions: &[String]) -> String {
    format!("- name: {name}\n  worker: {worker}\n  actions:\n{}", actions.concat())
}

/// Stops a worker as its service manager would.
pub fn stop(mut worker: Process) -> Result<()> {
    let status = worker.terminate(DEADLINE)?;
    ensure!(status.success(), "the worker ended with {status}");
    Ok(())
}

pub fn finished(process: &mut Process) -> Result<Finished> {
    let status = process.wait(DEADLINE * 3)?;
    Ok(Finished { code: status.code(), stdout: process.stdout().text(), stderr: process.stderr().text() })
}

pub fn appears(path: &Path) -> Result<()> {
    eventually(&path.display().to_string(), DEADLINE, || if path.exists() { Ok(()) } else { Err("not there") })
}

/// The run's own file makes the image this run's: no other copy can hide a pull that failed.
pub fn image_of(run: &TestRun) -> Result<BuiltImage> {
    TestImage::busybox()?.layer().file("etc/run", 0o644, run.name()).build()
}

/// Writes an image as an OCI layout, under a name.
pub fn write_layout(image: &BuiltImage, name: &str, to: &Path) -> Result<()> {
    let blobs = to.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    fs::write(to.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let manifest = (image.digest(), image.manifest.clone());
    for (digest, content) in image.blobs.iter().chain([&manifest]) {
        let Some(hex) = digest.strip_prefix("sha256:") else { bail!("{digest} is no sha256") };
        fs::write(blobs.join(hex), content)?;
    }
    let descriptor = json!({
        "mediaType": image.media_type,
        "digest": image.digest(),
        "size": image.manifest.len(),
        "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
    });
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
    fs::write(to.join("index.json"), index.to_string())?;
    Ok(())
}
