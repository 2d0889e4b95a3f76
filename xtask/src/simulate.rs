//! Simulated worlds by the thousand (`crates/tink-simulation`).

use anyhow::Result;

use crate::shell;

/// Hands everything to `tink-simulate`, optimised. The first few worlds are lived through by every `cargo test`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let run =
        ["run", "--locked", "--profile", "simulation", "--quiet", "--package", "tink-simulation", "--bin", "tink-simulate", "--"];
    shell::run(shell::cargo().args(run).args(args))
}
