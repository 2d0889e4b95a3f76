//! What the tests share: a server, a registry, workers on the embedded runtime.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tink_e2e::site::PASSWORD;
pub use tink_e2e::site::{appears, image_of, task};
use tink_e2e::stack::{DEADLINE, path_text};
use tink_e2e::{BuiltImage, Census, Finished, Launch, Process, Scope, TestRun};

/// A site, and what was on the machine before.
pub struct Site<'r> {
    site: tink_e2e::site::Site<'r>,
    before: Census,
}

impl<'r> Site<'r> {
    pub fn start(run: &'r TestRun) -> Result<Self> {
        Ok(Self { site: tink_e2e::site::Site::start(run)?, before: Census::take(Scope::Machine)? })
    }

    /// A worker with the right password.
    pub fn worker(&self, id: &str) -> Result<Launch> {
        self.worker_with(id, PASSWORD)
    }

    pub fn worker_with(&self, id: &str, password: &str) -> Result<Launch> {
        Ok(without_engine(self.run, self.worker_on("auto", id, password)?))
    }

    /// An action that runs a shell script. Its command line names the run, so that a process left behind is seen.
    pub fn action(&self, name: &str, script: &str, more: &str) -> Result<String> {
        Ok(self.site.action(name, &format!("{script} # {}", path_text(self.run.scratch())?), more))
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
            ensure!(self.stack.worker_dir(worker).join("images").is_dir(), "{worker} used another runtime");
        }
        Ok(())
    }
}

impl<'r> Deref for Site<'r> {
    type Target = tink_e2e::site::Site<'r>;

    fn deref(&self) -> &Self::Target {
        &self.site
    }
}

impl DerefMut for Site<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.site
    }
}

/// A program on a machine without any engine: there is no socket of one, and no program to be found, of one or other. What
/// other tests run cannot be reached. Of all runtimes `auto` is left with the embedded one.
pub fn without_engine(run: &TestRun, launch: Launch) -> Launch {
    let nowhere = run.scratch().join("nowhere");
    let launch = launch.arg("--docker-socket").arg(nowhere.join("docker.sock"));
    let launch = launch.arg("--containerd-socket").arg(nowhere.join("containerd.sock"));
    launch.env("PATH", &nowhere).env_remove("DOCKER_HOST")
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
