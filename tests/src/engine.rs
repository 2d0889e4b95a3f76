//! A container engine as tests use it: by its socket and the `docker` command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{Launch, Process, Registry, TestRun, binaries};

const COMMAND_DEADLINE: Duration = Duration::from_secs(120);

/// Where an engine listens, and `docker` against it.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
}

/// What a command printed before it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed to standard output.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

impl Engine {
    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The path of its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its address, as `DOCKER_HOST` wants it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Prepares `docker` against this engine, with the run's own logins.
    ///
    /// # Errors
    /// When `docker` is not installed.
    pub fn docker(&self, run: &TestRun) -> Result<Launch> {
        let config = run.scratch().join("docker");
        Ok(Process::program("docker")?.env("DOCKER_HOST", self.host()).env("DOCKER_CONFIG", config))
    }

    /// Runs `docker` with these arguments, at most two minutes long, and answers with what came out, whatever it was.
    ///
    /// # Errors
    /// When it cannot be run or does not end.
    pub fn try_run(&self, run: &TestRun, args: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Finished> {
        let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let mut process = self.docker(run)?.args(&args).start(run)?;
        let code = process.wait(COMMAND_DEADLINE)?.code();
        Ok(Finished { code, stdout: process.stdout().text(), stderr: process.stderr().text() })
    }

    /// As [`Engine::try_run`], for a command that has to succeed.
    ///
    /// # Errors
    /// Also when its exit code is not 0; the error holds what it printed.
    pub fn run(&self, run: &TestRun, args: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Finished> {
        let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let finished = self.try_run(run, &args)?;
        if finished.code != Some(0) {
            bail!("`docker {}` ended with {:?}: {}", args.join(" "), finished.code, finished.stderr.trim_end());
        }
        Ok(finished)
    }

    /// Logs this run's `docker` in to a registry, if that asks for it.
    ///
    /// # Errors
    /// When the engine or the registry refuses.
    pub fn login(&self, run: &TestRun, registry: &Registry) -> Result<()> {
        if let Some((user, password)) = registry.credentials() {
            self.run(run, ["login", "--username", user, "--password", password, &registry.address()])?;
        }
        Ok(())
    }

    /// The address of the host as containers on the engine's default network see it.
    ///
    /// # Errors
    /// When the engine runs without such a network.
    pub fn gateway(&self, run: &TestRun) -> Result<String> {
        let format = "{{range .IPAM.Config}}{{.Gateway}}{{end}}";
        let network = self.run(run, ["network", "inspect", "bridge", "--format", format]);
        let gateway = network.context("the engine has no default network")?.stdout.trim().to_owned();
        if gateway.is_empty() {
            bail!("the engine's default network has no gateway");
        }
        Ok(gateway)
    }

    /// Ends and removes every container, without grace.
    pub(crate) fn remove_all_containers(&self) -> Result<()> {
        let docker = binaries::system_program("docker")?;
        let list = Command::new(&docker).args(["--host", &self.host(), "ps", "--all", "--quiet"]).output();
        let list = String::from_utf8_lossy(&list.context("failed to list containers")?.stdout).into_owned();
        let ids: Vec<_> = list.split_whitespace().collect();
        if !ids.is_empty() {
            let remove = Command::new(&docker).args(["--host", &self.host(), "rm", "--force"]).args(ids).output();
            remove.context("failed to remove containers")?;
        }
        Ok(())
    }
}
