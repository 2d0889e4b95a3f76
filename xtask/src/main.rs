//! Everyday tasks.
fn main() {}
