//! Simulated worlds by the thousand (`crates/tink-simulation`).

use anyhow::Result;

use crate::shell;

/// Hands everything to `tink-simulate`, optimised. The first few worlds are lived through by every `cargo test`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    match args {
        [only] if only == "--all" => all(),
        _ => shell::run(program().args(args)),
    }
}

/// What CI runs: 100,000 worlds, and every deliberate bug until it is found; about three minutes on two cores.
pub(crate) fn all() -> Result<()> {
    shell::run(program().args(["--seeds", "100000"]))?;
    shell::run(program().args(["--mutation", "all"]))
}

fn program() -> std::process::Command {
    let mut cargo = shell::cargo();
    let simulate = ["--quiet", "--profile", "simulation", "--package", "tink-simulation", "--bin", "tink-simulate"];
    cargo.args(["run", "--locked"]).args(simulate);
    cargo.arg("--");
    cargo
}
