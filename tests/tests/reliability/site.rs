//! What the tests share: a server, a registry, a worker on the embedded runtime whose state is in memory.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use tink_e2e::site::{appears, image_of, lines, shell_action, task};
use tink_e2e::stack::{Stack, path_text};
use tink_e2e::{Launch, Registry, StateDisk, TestRun};

/// A stack, and a registry that holds `actions/busybox:v1`.
pub struct Site<'r> {
    _run: &'r TestRun,
    pub stack: Stack<'r>,
    pub registry: Registry,
    pub image: String,
    shared: PathBuf,
}

impl<'r> Site<'r> {
    pub fn start(run: &'r TestRun) -> Result<Self> {
        let registry = Registry::launch(run).start()?;
        let image = registry.push("actions/busybox", "v1", &image_of(run)?)?.reference;
        let shared = run.scratch().join("shared");
        fs::create_dir(&shared)?;
        Ok(Self { _run: run, stack: Stack::start(run)?, registry, image, shared })
    }

    pub fn worker(&self) -> Result<Launch> {
        Ok(self.stack.worker("w")?.args(["--runtime", "embedded"]))
    }

    /// Memory for the worker's state.
    pub fn disk(&self, mib: u32) -> Result<StateDisk> {
        StateDisk::mount(&self.stack.worker_dir("w"), mib)
    }

    /// An action that runs a shell script and notes each run in a file.
    pub fn action(&self, name: &str, script: &str, more: &str) -> Result<String> {
        let volume = format!("volumes: ['{}:/shared']\n{more}", path_text(&self.shared)?);
        let action = shell_action(name, &self.image, &format!("echo {name} >> /shared/runs; {script}"), &volume);
        Ok(action.replace("timeout: 60", "timeout: 100"))
    }

    /// A workflow of one task.
    pub fn create(&self, name: &str, actions: &[String]) -> Result<()> {
        self.stack.create(name, &task("only", "w", actions))
    }

    /// How often each action ran, in order.
    pub fn runs(&self) -> Vec<String> {
        lines(&self.shared.join("runs"))
    }

    /// Makes a file that actions see as `/shared/<name>`.
    pub fn touch(&self, name: &str) -> Result<()> {
        Ok(fs::write(self.shared.join(name), "")?)
    }

    /// Waits for a file of that name.
    pub fn appears(&self, name: &str) -> Result<()> {
        appears(&self.shared.join(name))
    }
}
