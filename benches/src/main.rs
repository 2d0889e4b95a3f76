//! Benchmarks: each prints figures and the ratio against a peer measured in the same run, since absolute times depend on
//! the machine and on what runs beside.
//!
//! `cargo xtask bench` runs all, `cargo xtask bench NAME` one of them. They drive the release binaries.

mod binaries;
mod dispatch;
mod memory;
mod report;
mod server;
mod sizes;
mod statistics;

use anyhow::{Result, bail};

type Benchmark = (&'static str, &'static str, fn() -> Result<()>);

const ALL: [Benchmark; 4] = [
    ("report", "latency and rate of durable reports, against an fsync of the same disk", report::run),
    ("dispatch", "from `workflow created` to `container start requested`, against an empty gRPC call", dispatch::run),
    ("memory", "resident memory of an idle server and an idle worker", memory::run),
    ("sizes", "sizes of the binaries", sizes::run),
];

fn main() -> Result<()> {
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
