//! The program in the middle of a cable between two network namespaces: `tink-e2e-cable LEFT RIGHT SEED`.

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [left, right, seed] = args.as_slice() else { bail!("usage: tink-e2e-cable LEFT RIGHT SEED") };
    tink_e2e::cable_relay::relay(left, right, seed.parse().context("the seed is a number")?)
}
