//! What every commit has to pass.

use anyhow::Result;

use crate::{crash, deny, fuzz, shell, simulate, test};

/// Rounds of crashes for every commit: two to four minutes.
const CRASH_ROUNDS: u32 = 30;

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
    test::run(&[])?;
    crash::run_rounds(CRASH_ROUNDS)?;
    simulate::all()
}
