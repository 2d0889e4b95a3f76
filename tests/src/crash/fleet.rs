//! The programs of all rounds of one runtime, and their deaths and restarts.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::blow::Victim;
use crate::stack::{Stack, path_text};
use crate::{Containerd, Dockerd, Launch, Process, Registry, TestImage, TestRun, census};

/// Workers that take part.
pub(super) const WORKERS: usize = 2;

/// What runs the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Our own.
    Embedded,
    /// A dockerd of the fleet's own. It keeps containers over its restarts (`live-restore`).
    Docker,
    /// A containerd of the fleet's own.
    Containerd,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Embedded, Self::Docker, Self::Containerd];

    /// By the name that `--runtime` takes.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|runtime| runtime.to_string() == name);
        found.with_context(|| format!("there is no runtime `{name}`: embedded, docker, containerd, all"))
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Docker => "docker",
            Self::Containerd => "containerd",
        })
    }
}

/// A program that is to run, and what it was armed with.
#[derive(Default)]
pub(super) struct Slot {
    process: Option<Process>,
    failpoint: Option<String>,
}

/// The programs of one runtime.
pub(super) struct Fleet<'r> {
    run: &'r TestRun,
    runtime: Runtime,
    stack: Stack<'r>,
    /// What the server was armed with.
    server_failpoint: Option<String>,
    docker: Option<Dockerd>,
    containerd: Option<Containerd>,
    workers: Vec<Slot>,
    image: String,
    /// Mounted into every action.
    shared: PathBuf,
    reached: BTreeSet<String>,
    _registry: Registry,
}

impl<'r> Fleet<'r> {
    /// Starts everything.
    pub(super) fn start(run: &'r TestRun, runtime: Runtime) -> Result<Self> {
        let registry = Registry::launch(run).start()?;
        let image = TestImage::busybox()?.layer().file("etc/run", 0o644, runtime.to_string()).build()?;
        let image = registry.push(&format!("crash-{runtime}"), "v1", &image)?.reference;
        let shared = run.scratch().join(format!("shared-{runtime}"));
        fs::create_dir(&shared)?;
        let docker = match runtime {
            Runtime::Docker => Some(Dockerd::start_with(run, serde_json::json!({"live-restore": true}))?),
            Runtime::Embedded | Runtime::Containerd => None,
        };
        let containerd = (runtime == Runtime::Containerd).then(|| Containerd::start(run)).transpose()?;
        let mut fleet = Self {
            run,
            runtime,
            stack: Stack::start_named(run, &runtime.to_string())?,
            server_failpoint: None,
            docker,
            containerd,
            workers: (0..WORKERS).map(|_| Slot::default()).collect(),
            image,
            shared,
            reached: BTreeSet::new(),
            _registry: registry,
        };
        for nth in 0..WORKERS {
            fleet.start_again(Victim::Worker(nth), None)?;
        }
        Ok(fleet)
    }

    pub(super) fn runtime(&self) -> Runtime {
        self.runtime
    }

    pub(super) fn stack(&self) -> &Stack<'r> {
        &self.stack
    }

    pub(super) fn shared(&self) -> &std::path::Path {
        &self.shared
    }

    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// The failpoints at which a program died.
    pub(super) fn reached(&self) -> impl Iterator<Item = String> {
        self.reached.iter().cloned()
    }

    pub(super) fn worker_id(&self, nth: usize) -> String {
        format!("{}-{nth}", self.runtime)
    }

    /// The journal of a worker.
    pub(super) fn journal(&self, nth: usize) -> PathBuf {
        self.stack.worker_dir(&self.worker_id(nth)).join("assignments")
    }

    fn worker_launch(&self, nth: usize) -> Result<Launch> {
        let launch = self.stack.worker(&self.worker_id(nth))?.args(["--runtime", &self.runtime.to_string()]);
        Ok(match (&self.docker, &self.containerd) {
            (Some(docker), _) => launch.arg("--docker-socket").arg(docker.socket()),
            (None, Some(containerd)) => launch.arg("--containerd-socket").arg(containerd.socket()),
            (None, None) => launch,
        })
    }

    /// Kills it; `false` if there is nothing to kill just now.
    pub(super) fn kill(&mut self, victim: Victim) -> Result<bool> {
        match victim {
            Victim::Worker(nth) => match self.workers.get_mut(nth).and_then(|slot| slot.process.take()) {
                Some(mut worker) => worker.kill().map(|_| true),
                None => Ok(false),
            },
            Victim::Server => match self.stack.server() {
                Ok(_) => self.stack.kill_server().map(|()| true),
                Err(_) => Ok(false),
            },
            Victim::Engine => match (&mut self.docker, &mut self.containerd) {
                (Some(docker), _) => docker.kill(),
                (None, Some(containerd)) => containerd.kill(),
                (None, None) => Ok(false),
            },
            Victim::Shim => Ok(self.kill_a_shim()),
        }
    }

    fn kill_a_shim(&self) -> bool {
        let (mark, below) = match (&self.docker, &self.containerd) {
            (Some(docker), _) => ("containerd-shim", docker.containerd_socket().to_owned()),
            (None, Some(containerd)) => ("containerd-shim", containerd.socket().to_owned()),
            (None, None) => ("tink-shim", self.run.scratch().join(format!("worker-{}-", self.runtime))),
        };
        let below = below.display().to_string();
        let shims = census::processes_with_command(|command| command.contains(mark) && command.contains(&below));
        let Some(pid) = shims.first().and_then(|pid| i32::try_from(*pid).ok()) else { return false };
        let Some(pid) = rustix::process::Pid::from_raw(pid) else { return false };
        rustix::process::kill_process(pid, Signal::KILL).is_ok()
    }

    /// Starts it again, armed or not. A server that dies of its failpoint while it starts is started without one.
    pub(super) fn start_again(&mut self, victim: Victim, failpoint: Option<&str>) -> Result<()> {
        match victim {
            Victim::Worker(nth) => {
                let mut launch = self.worker_launch(nth)?;
                if let Some(failpoint) = failpoint {
                    launch = launch.env(tink_failpoint::VARIABLE, failpoint);
                }
                let process = launch.start(self.run)?;
                let slot = self.workers.get_mut(nth).context("there is no such worker")?;
                *slot = Slot { process: Some(process), failpoint: failpoint.map(str::to_owned) };
            }
            Victim::Server => {
                let armed = failpoint.map(|failpoint| (tink_failpoint::VARIABLE, failpoint));
                if self.stack.start_server_with(armed.as_slice()).is_ok() {
                    self.server_failpoint = failpoint.map(str::to_owned);
                } else if let Some(failpoint) = failpoint {
                    self.reached.insert(failpoint.to_owned());
                    self.stack.start_server()?;
                } else {
                    bail!("the server does not start again");
                }
            }
            Victim::Engine => {
                if let Some(docker) = &mut self.docker {
                    docker.start_again(self.run)?;
                }
                if let Some(containerd) = &mut self.containerd {
                    containerd.start_again(self.run)?;
                }
            }
            // Its container is gone with it.
            Victim::Shim => {}
        }
        Ok(())
    }

    /// Takes a program that has ended by itself: who, and the failpoint it was to die of.
    pub(super) fn take_dead(&mut self) -> Option<(Victim, Option<String>)> {
        for nth in 0..self.workers.len() {
            let slot = self.workers.get_mut(nth)?;
            if slot.process.as_ref().is_some_and(Process::has_ended) {
                slot.process = None;
                let failpoint = slot.failpoint.take().filter(|name| !name.starts_with("shim."));
                self.reached.extend(failpoint.clone());
                return Some((Victim::Worker(nth), failpoint));
            }
        }
        let server_ended = self.stack.server().is_ok_and(|server| server.has_ended());
        if server_ended {
            self.stack.kill_server().ok();
            let failpoint = self.server_failpoint.take();
            self.reached.extend(failpoint.clone());
            return Some((Victim::Server, failpoint));
        }
        None
    }

    /// Notes that a shim died where its worker was armed for that.
    pub(super) fn shim_died(&mut self, failpoint: &str) {
        self.reached.insert(failpoint.to_owned());
    }

    /// The shim failpoint that a worker hands on to its containers.
    pub(super) fn shim_failpoint(&self, nth: usize) -> Option<String> {
        let failpoint = self.workers.get(nth)?.failpoint.clone()?;
        failpoint.starts_with("shim.").then_some(failpoint)
    }

    /// A template and a workflow of it, ready to be applied.
    pub(super) fn volume(&self) -> Result<String> {
        Ok(format!("{}:/shared", path_text(&self.shared)?))
    }
}
