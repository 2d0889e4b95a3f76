//! Benchmarks: programs that print ratios, in the package `tink-bench`. They measure the programs as they are shipped.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{shell, workspace};

/// Runs all of them, or the one that is named.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if !workspace::root().join("benches/Cargo.toml").is_file() {
        bail!("there are no benchmarks yet: the package tink-bench, in benches/, does not exist");
    }
    let build = ["build", "--locked", "--profile", "dist", "--package", "tink-bench", "--package", "tink-e2e"];
    shell::run(shell::cargo().args(build).args(workspace::program_args()))?;
    let programs = workspace::profile_dir("dist")?;
    shell::run(Command::new(programs.join("tink-bench")).args(args).env("TINK_E2E_BIN_DIR", &programs))
}
