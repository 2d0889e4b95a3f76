//! A private containerd.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{CapabilitySet, Process, TestRun, binaries, census};

const START_DEADLINE: Duration = Duration::from_secs(30);

/// containerd with a socket, state and runc of its own. Dropped, it is stopped, with what it ran.
#[derive(Debug)]
pub struct Containerd {
    process: Option<Process>,
    home: PathBuf,
    socket: PathBuf,
    path: String,
}

impl Containerd {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// When it is not installed or does not serve in time; its log says why.
    pub fn start(run: &TestRun) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("cd-").tempdir_in(run.scratch())?.keep();
        let socket = home.join("s");
        let config = home.join("config.toml");
        let text = format!(
            "version = 2\nroot = '{home}/root'\nstate = '{home}/state'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt']\n\
             [grpc]\naddress = '{socket}'\n",
            home = home.display(),
            socket = socket.display()
        );
        fs::write(&config, text).with_context(|| format!("failed to write {}", config.display()))?;
        let mut path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        if let Some(wrapper) = bounded_runc()? {
            let bin = home.join("bin");
            fs::create_dir(&bin).with_context(|| format!("failed to make {}", bin.display()))?;
            symlink(&wrapper, bin.join("runc")).context("failed to link the runc wrapper")?;
            path = format!("{}:{path}", bin.display());
        }
        let mut containerd = Self { process: None, home, socket, path };
        containerd.start_again(run)?;
        Ok(containerd)
    }

    /// Starts it after [`Containerd::stop`], on the same socket and state.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub fn start_again(&mut self, run: &TestRun) -> Result<()> {
        let config = self.home.join("config.toml");
        let process = Process::program("containerd")?.arg("--config").arg(config).env("PATH", &self.path).start(run)?;
        process.wait_for_line("containerd successfully booted", START_DEADLINE)?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the daemon; what it started runs on, with its shims.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(START_DEADLINE)?;
        }
        Ok(())
    }

    /// Kills the daemon alone; containers and their shims live on. `false` if it was stopped already.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<bool> {
        let Some(mut process) = self.process.take() else { return Ok(false) };
        process.kill()?;
        Ok(true)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs `ctr` against it in the worker's namespace, and answers with what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn ctr(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(binaries::system_program("ctr")?);
        command.arg("--address").arg(&self.socket).args(["--namespace", "tinkerbell"]).args(args);
        let output = command.output().context("failed to run ctr")?;
        ensure!(output.status.success(), "ctr {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// All that runs of containers may leave in it: containers, tasks and writable snapshots, by id.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn census(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (kind, args) in [("container", ["containers", "list"]), ("task", ["tasks", "list"])] {
            let ids = self.ctr(&[args[0], args[1], "--quiet"])?;
            found.extend(ids.split_whitespace().map(|id| format!("{kind} {id}")));
        }
        let snapshots = self.ctr(&["snapshots", "list"])?;
        let writable = snapshots.lines().skip(1).filter(|line| !line.trim_end().ends_with("Committed"));
        found.extend(writable.map(|line| format!("snapshot {line}")));
        Ok(found)
    }

    /// Its process id; `None` while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The daemon itself, for a test that signals it; `None` while it is stopped.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.stop().ok();
        // The shims live on without it, by design of containerd. Their command lines name the socket.
        for (pid, _) in census::processes_marked(None, &self.socket) {
            crate::process::kill_pid(pid);
        }
    }
}

/// The wrapper around runc, if this machine needs it: stock runc cannot make a privileged container without every
/// capability.
pub(crate) fn bounded_runc() -> Result<Option<PathBuf>> {
    if CapabilitySet::bounding()?.missing().is_empty() {
        return Ok(None);
    }
    binaries::companion_path("bounded-runc").map(Some)
}
