//! Keeps the daemons that tests share until its standard input ends; as `sweep PID`, clears up after killed tests.

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => tink_e2e::keep_services(),
        ["sweep", pid] => tink_e2e::sweep_when_input_ends(pid.parse().context("sweep needs a process id")?),
        _ => bail!("usage: tink-e2e-services [sweep PID]"),
    }
}
