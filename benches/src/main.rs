//! Benchmarks: each prints figures and the ratio against a peer measured in the same run, since absolute times depend on
//! the machine and on what runs beside.
//!
//! `cargo xtask bench` runs all, `cargo xtask bench NAME` one of them. They drive the programs as they are shipped, and start and
//! stop the daemons they compare with.

mod binaries;
mod dispatch;
mod inside;
mod launch;
mod memory;
mod process;
mod pull;
mod report;
mod server;
mod sizes;
mod statistics;

use std::process::ExitCode;

use anyhow::{Result, bail};

type Benchmark = (&'static str, &'static str, fn() -> Result<()>);

const ALL: [Benchmark; 6] = [
    ("report", "latency and rate of durable reports, against an fsync of the same disk", report::run),
    ("dispatch", "from `workflow created` to `container start requested`, against an empty gRPC call", dispatch::run),
    ("launch", "a trivial action under the embedded runtime, against `runc run` and `docker run`", launch::run),
    ("pull", "a cold pull of 200 MB in six layers, against `docker pull`", pull::run),
    ("memory", "resident memory of server, worker and a running action, against a container engine", memory::run),
    ("sizes", "sizes of the binaries", sizes::run),
];

fn main() -> ExitCode {
    // This program is also what starts the containers.
    if let Some(code) = tink_runtime::helper_main_if_asked() {
        return code;
    }
    if let Some(code) = tink_runtime::start_forker() {
        return code;
    }
    match pull::main_if_asked().unwrap_or_else(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tink-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|(known, ..)| known != name)) {
        let known: Vec<String> = ALL.iter().map(|(name, what, _)| format!("  {name:<10} {what}")).collect();
        bail!("there is no benchmark {unknown:?}; there are:\n{}", known.join("\n"));
    }
    for (name, what, run) in ALL.iter().filter(|(name, ..)| names.is_empty() || names.iter().any(|n| n == name)) {
        println!("\n== {name}: {what}");
        run()?;
    }
    Ok(())
}
