//! What the tests share: a server, a registry, a worker on the embedded runtime whose state is in memory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use tink_e2e::stack::{DEADLINE, Stack, path_text};
use tink_e2e::{Launch, Registry, StateDisk, TestImage, TestRun, eventually};

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
        let image = TestImage::busybox()?.layer().file("etc/run", 0o644, run.name()).build()?;
        let image = registry.push("actions/busybox", "v1", &image)?.reference;
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
        let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
        let script = json!(format!("echo {name} >> /shared/runs; {script}"));
        let (image, shared) = (&self.image, path_text(&self.shared)?);
        Ok(format!(
            "  - name: {name}\n    image: {image}\n    timeout: 100\n    volumes: ['{shared}:/shared']\n    command: [sh, -c, {script}]\n{more}"
        ))
    }

    /// A workflow of one task.
    pub fn create(&self, name: &str, actions: &[String]) -> Result<()> {
        self.stack.create(name, &format!("- name: only\n  worker: w\n  actions:\n{}", actions.concat()))
    }

    /// How often each action ran, in order.
    pub fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.shared.join("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
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

pub fn appears(path: &Path) -> Result<()> {
    eventually(&path.display().to_string(), DEADLINE, || if path.exists() { Ok(()) } else { Err("not there") })
}
