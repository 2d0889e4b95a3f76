//! What tests of workflows share: a server, a registry with a password that has an image, and the words of a template.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::stack::{DEADLINE, Stack, path_text};
use crate::{BuiltImage, Launch, Registry, TestImage, TestRun, eventually};

/// The registry's user.
pub const USER: &str = "tink";
/// The user's password.
pub const PASSWORD: &str = "correct-horse-battery";

/// A stack, and a registry that holds `<run>/busybox:v1`.
pub struct Site<'r> {
    /// The run it belongs to.
    pub run: &'r TestRun,
    /// Server and CLI.
    pub stack: Stack<'r>,
    /// Asks for [`USER`] and [`PASSWORD`].
    pub registry: Registry,
    /// The image's reference.
    pub image: String,
}

impl<'r> Site<'r> {
    /// Starts server and registry.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub fn start(run: &'r TestRun) -> Result<Self> {
        let registry = Registry::launch(run).auth(USER, PASSWORD).start()?;
        let repository = format!("{}/busybox", run.name().replace('_', "-"));
        let image = registry.push(&repository, "v1", &image_of(run)?)?.reference;
        Ok(Self { run, stack: Stack::start(run)?, registry, image })
    }

    /// A worker on a runtime, with this password. What the runtime needs to be told is added to it.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn worker_on(&self, runtime: &str, id: &str, password: &str) -> Result<Launch> {
        let credentials = ["--registry-name", &self.registry.address(), "--registry-user", USER];
        let launch = self.stack.worker(id)?.args(["--runtime", runtime]).args(credentials);
        Ok(launch.env("AGENT_REGISTRY_PASS", OsStr::new(password)))
    }

    /// [`shell_action`] in the site's image.
    #[must_use]
    pub fn action(&self, name: &str, script: &str, more: &str) -> String {
        shell_action(name, &self.image, script, more)
    }

    /// A directory of the run, and the line of an action that mounts it at `/shared`.
    ///
    /// # Errors
    /// When there is one of that name.
    pub fn shared(&self, name: &str) -> Result<(PathBuf, String)> {
        let shared = self.run.scratch().join(name);
        fs::create_dir(&shared)?;
        let volume = format!("volumes: [{}:/shared]", path_text(&shared)?);
        Ok((shared, volume))
    }

    /// A workflow of one task, for this worker.
    ///
    /// # Errors
    /// With what the CLI printed.
    pub fn create(&self, name: &str, worker: &str, actions: &[String]) -> Result<()> {
        self.stack.create(name, &task("only", worker, actions))
    }
}

/// An action that runs a shell script, `timeout: 60`; `more` are lines of the action.
#[must_use]
pub fn shell_action(name: &str, image: &str, script: &str, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
    let script = Value::from(script);
    format!("  - name: {name}\n    image: {image}\n    timeout: 60\n    command: [sh, -c, {script}]\n{more}")
}

/// A task of a template.
#[must_use]
pub fn task(name: &str, worker: &str, actions: &[String]) -> String {
    format!("- name: {name}\n  worker: \"{worker}\"\n  actions:\n{}", actions.concat())
}

/// busybox with a file of the run's own: no other copy can hide a pull that failed.
///
/// # Errors
/// When busybox is not installed.
pub fn image_of(run: &TestRun) -> Result<BuiltImage> {
    TestImage::busybox()?.layer().file("etc/run", 0o644, run.name()).build()
}

/// What actions wrote to a file, none where there is no such file.
#[must_use]
pub fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until there is such a file.
///
/// # Errors
/// When the deadline passes.
pub fn appears(path: &Path) -> Result<()> {
    eventually(&path.display().to_string(), DEADLINE, || if path.exists() { Ok(()) } else { Err("not there") })
}
