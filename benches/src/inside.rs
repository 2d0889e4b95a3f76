//! What runs inside the containers: the trivial action of the benchmarks, `fixtures/trivial.rs`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trivial"));

/// Writes the program into a directory: where it is.
pub fn program(dir: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join("trivial");
    std::fs::write(&path, PROGRAM).context("failed to write the trivial action")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).context("failed to make it executable")?;
    Ok(path)
}

/// The machine's clock that no namespace changes.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    nanoseconds(now.tv_sec, now.tv_nsec)
}

/// What a container wrote, once.
pub fn taken(file: &Path) -> Result<u64> {
    let bytes = std::fs::read(file).context("the container did not say when it ran")?;
    std::fs::remove_file(file).context("failed to remove the container's file")?;
    let words: Vec<i64> = bytes.as_chunks().0.iter().map(|word| i64::from_ne_bytes(*word)).collect();
    let [seconds, rest] = words.as_slice() else { anyhow::bail!("the container wrote no time, but {bytes:?}") };
    Ok(nanoseconds(*seconds, *rest))
}

fn nanoseconds(seconds: i64, rest: i64) -> u64 {
    u64::try_from(seconds).unwrap_or_default() * 1_000_000_000 + u64::try_from(rest).unwrap_or_default()
}
