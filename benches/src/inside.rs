//! What this program does inside a container: the trivial action of the benchmarks.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// `tink-bench inside stamp FILE` writes when it ran; `tink-bench inside sit` waits for its end.
const WORD: &str = "inside";

/// The code to end with, if this process is one inside a container.
pub fn main_if_asked() -> Option<ExitCode> {
    let now = monotonic_ns();
    let args: Vec<String> = std::env::args().skip(1).take(3).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        [WORD, "stamp", file] => File::create(file).and_then(|mut file| file.write_all(now.to_string().as_bytes())),
        [WORD, "sit"] => loop {
            std::thread::park();
        },
        _ => return None,
    };
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command that lets a container write into `file`.
pub fn stamp(file: &str) -> [String; 3] {
    [WORD, "stamp", file].map(str::to_owned)
}

/// The command that lets a container wait.
pub fn sit() -> [String; 2] {
    [WORD, "sit"].map(str::to_owned)
}

/// The machine's clock that no namespace changes.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// What a container wrote, once.
pub fn taken(file: &std::path::Path) -> Result<u64> {
    let text = std::fs::read_to_string(file).context("the container did not say when it ran")?;
    std::fs::remove_file(file).context("failed to remove the container's file")?;
    text.parse().context("the container wrote no time")
}
