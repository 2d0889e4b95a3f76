//! The daemons that tests share, kept by `tink-e2e-services` until its standard input is closed.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The running daemons; dropped, they are stopped. If we are killed, the kernel closes the pipe for us.
pub(crate) struct SharedServices {
    keeper: Child,
    /// What the tests get in their environment to find them.
    pub(crate) variables: Vec<(String, String)>,
}

impl SharedServices {
    /// Starts them and waits until they serve.
    pub(crate) fn start() -> Result<Self> {
        let program = workspace::profile_dir("debug")?.join("tink-e2e-services");
        eprintln!("xtask: $ {} &", program.display());
        let mut keeper = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let stdout = keeper.stdout.take().context("the services have no output")?;
        let mut services = Self { keeper, variables: Vec::new() };
        for line in BufReader::new(stdout).lines() {
            let line = line.context("failed to read from the services")?;
            if line.is_empty() {
                return Ok(services);
            }
            let (name, value) = line.split_once('=').with_context(|| format!("the services said `{line}`"))?;
            eprintln!("xtask: {name}={value}");
            services.variables.push((name.to_owned(), value.to_owned()));
        }
        bail!("the daemons that tests share could not be started: their messages are above")
    }
}

impl Drop for SharedServices {
    fn drop(&mut self) {
        eprintln!("xtask: stopping the daemons that tests share");
        drop(self.keeper.stdin.take());
        match self.keeper.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => eprintln!("xtask: tink-e2e-services ended with {status}"),
            Err(error) => eprintln!("xtask: failed to wait for tink-e2e-services: {error}"),
        }
    }
}
