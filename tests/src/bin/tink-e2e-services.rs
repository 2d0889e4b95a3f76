//! Keeps the daemons that tests share until its standard input ends.

fn main() -> anyhow::Result<()> {
    tink_e2e::keep_services()
}
