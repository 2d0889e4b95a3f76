//! The programs under crashes: built with failpoints, run by `tink-e2e-crash`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{setup, shell, workspace};

/// Builds, and becomes the program that runs the rounds: its last line is ours, and so is its exit code.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut command, line) = prepared(args)?;
    let error = command.exec();
    Err(error).with_context(|| format!("failed to start {line}"))
}

/// Runs some rounds among other tasks.
pub(crate) fn run_rounds(rounds: u32) -> Result<()> {
    let (mut command, _) = prepared(&["--rounds".to_owned(), rounds.to_string()])?;
    shell::run(&mut command)
}

fn prepared(args: &[String]) -> Result<(Command, String)> {
    if !rustix::process::geteuid().is_root() {
        bail!("the crash tests make namespaces, mounts and containers: run this as root");
    }
    setup::run()?;
    shell::run(
        shell::cargo().args(["build", "--locked"]).args(workspace::program_args()).args(["--package", "tink-e2e"]),
    )?;
    let programs = workspace::profile_dir("debug")?;
    let program = programs.join("tink-e2e-crash");
    let mut command = Command::new(&program);
    command.args(args).env("TINK_E2E_BIN_DIR", &programs);
    Ok((command, program.display().to_string()))
}
