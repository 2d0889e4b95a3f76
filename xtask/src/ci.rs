//! What every commit has to pass.

use anyhow::Result;

use crate::{deny, fuzz, shell, test};

/// Formatting, clippy, dependencies.
pub(crate) fn lint() -> Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    shell::run(shell::cargo().args(clippy))?;
    deny::check()
}

/// Everything that `.ci/run` does.
pub(crate) fn run() -> Result<()> {
    lint()?;
    fuzz::run(&[])?;
    test::run(&[])
}
