//! Benchmarks: programs that print ratios, in the package `tink-bench`.

use anyhow::{Result, bail};

use crate::{shell, workspace};

/// Runs all of them, or the one that is named.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if !workspace::root().join("benches/Cargo.toml").is_file() {
        bail!("there are no benchmarks yet: the package tink-bench, in benches/, does not exist");
    }
    shell::run(shell::cargo().args(["build", "--locked", "--release"]).args(workspace::program_args()))?;
    let programs = workspace::profile_dir("release")?;
    let run = ["run", "--locked", "--release", "--package", "tink-bench", "--"];
    shell::run(shell::cargo().args(run).args(args).env("TINK_E2E_BIN_DIR", programs))
}
