//! A private dockerd.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::bridge::Bridge;
use crate::containerd::bounded_runc;
use crate::{CapabilitySet, Containerd, Engine, Process, TestRun, services};

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// dockerd with a socket, data, network and containerd of its own. Dropped, it is stopped, with what it ran.
///
/// It starts in a fraction of a second, so a test that stops its engine takes one of its own; all others share one
/// ([`Dockerd::shared`]).
#[derive(Debug)]
pub struct Dockerd {
    engine: Engine,
    home: PathBuf,
    // In the order in which they have to go.
    daemon: Option<Process>,
    containerd: Containerd,
    bridge: Option<Bridge>,
}

impl Dockerd {
    /// The engine that all tests of this run share: that of `cargo xtask test`, or else one started now and stopped when
    /// this program ends. Tests must not stop it and must name their containers uniquely.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn shared() -> Result<Engine> {
        services::shared_engine()
    }

    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// When it is not installed or does not listen in time; its log says why.
    pub fn start(run: &TestRun) -> Result<Self> {
        Self::start_with(run, json!({}))
    }

    /// The same with settings of `daemon.json`.
    ///
    /// # Errors
    /// When it is not installed or does not listen in time; its log says why.
    pub fn start_with(run: &TestRun, settings: serde_json::Value) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("dd-").tempdir_in(run.scratch())?.keep();
        let containerd = Containerd::start(run)?;
        let bridge = Bridge::new();
        if let Err(error) = &bridge {
            eprintln!("dockerd: containers get no default network: {error:#}");
        }
        let mut config = settings;
        if let Some(wrapper) = bounded_runc()? {
            let missing = CapabilitySet::bounding()?.missing().join(", ");
            eprintln!("dockerd: this machine cannot give {missing}; privileged containers go without, by {wrapper:?}");
            config["runtimes"] = json!({"bounded": {"path": wrapper}});
            config["default-runtime"] = json!("bounded");
        }
        let config_path = home.join("daemon.json");
        fs::write(&config_path, config.to_string())
            .with_context(|| format!("failed to write {}", config_path.display()))?;
        let engine = Engine::at(home.join("s"));
        let mut dockerd = Self { engine, home, daemon: None, containerd, bridge: bridge.ok() };
        dockerd.start_again(run)?;
        Ok(dockerd)
    }

    /// Starts it after [`Dockerd::stop`], on the same socket and data.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn start_again(&mut self, run: &TestRun) -> Result<()> {
        let home = self.home.display();
        // Network rules, forwarding and masquerading stay off: containers reach the host and nothing beyond, and the
        // machine's own rules are left alone.
        let daemon = Process::program("dockerd")?
            .args(["--config-file", &format!("{home}/daemon.json"), "--host", &self.engine.host()])
            .args(["--data-root", &format!("{home}/data"), "--exec-root", &format!("{home}/exec")])
            .args(["--pidfile", &format!("{home}/pid"), "--containerd"])
            .arg(self.containerd.socket())
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", &self.cgroup_parent(run)])
            .args(["--iptables=false", "--ip-forward=false", "--ip-masq=false", "--userland-proxy=false"])
            .arg(format!("--bridge={}", self.bridge.as_ref().map_or("none", Bridge::name)))
            .start(run)?;
        daemon.wait_for_line("API listen on", START_DEADLINE)?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Stops the daemon as an operator would; it stops its containers first.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.terminate(STOP_DEADLINE)?;
        }
        Ok(())
    }

    /// Kills the daemon alone; containers and containerd live on. `false` if it was stopped already.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<bool> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(false) };
        daemon.kill()?;
        // The next one believes it if some other process has the number by then.
        fs::remove_file(self.home.join("pid")).ok();
        Ok(true)
    }

    /// Where its containerd listens; the command lines of the containers' shims name it.
    #[must_use]
    pub fn containerd_socket(&self) -> &std::path::Path {
        self.containerd.socket()
    }

    /// The daemon itself, for a test that signals it; `None` while it is stopped.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.daemon.as_mut()
    }

    /// The process id of its containerd.
    #[must_use]
    pub fn containerd_pid(&self) -> u32 {
        self.containerd.pid().unwrap_or_default()
    }

    /// Its cgroups are told apart by the run's name.
    fn cgroup_parent(&self, run: &TestRun) -> String {
        format!("/{}", run.scratch().file_name().unwrap_or_default().to_string_lossy())
    }
}

impl Deref for Dockerd {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if self.daemon.is_none() {
            return;
        }
        // Or the daemon would give each container ten seconds to end by itself.
        if let Err(error) = self.engine.remove_all_containers() {
            eprintln!("dockerd: {error:#}");
        }
        if let Err(error) = self.stop() {
            eprintln!("dockerd: {error:#}");
        }
    }
}
