//! A cable between two network namespaces that loses, delays, doubles, damages and resets what goes through it.
//!
//! ```text
//! namespace of one side ══ veth ══ namespace of the cable: tink-e2e-cable ══ veth ══ namespace of the other side
//! ```
//!
//! A program in the middle takes every packet from one device and puts it on the other, or not. (The kernel's `netem`
//! does the same where it is built in, which it often is not.)

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{NetNs, Process, TestRun, binaries};

const START_DEADLINE: Duration = Duration::from_secs(10);

/// What happens to packets; each number is one out of a hundred. The default is a good cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Vanish.
    pub loss: u64,
    /// Come twice.
    pub duplicate: u64,
    /// Have one byte changed, which the receiver's checksum finds.
    pub corrupt: u64,
    /// Are answered with a reset of their connection, to both ends.
    pub reset: u64,
    /// Milliseconds that every packet takes, and up to as many again by chance: packets overtake each other.
    pub delay_ms: u64,
    /// Nothing passes.
    pub blackhole: bool,
}

impl Faults {
    /// As the cable's program reads it.
    pub(crate) fn to_line(self) -> String {
        let Self { loss, duplicate, corrupt, reset, delay_ms, blackhole } = self;
        format!("{loss} {duplicate} {corrupt} {reset} {delay_ms} {}\n", u64::from(blackhole))
    }

    /// The reverse of [`Faults::to_line`].
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (loss, duplicate, corrupt, reset) = (next()?, next()?, next()?, next()?);
        Some(Self { loss, duplicate, corrupt, reset, delay_ms: next()?, blackhole: next()? > 0 })
    }
}

/// A cable; good, until it is told otherwise. Dropped, it is cut.
#[derive(Debug)]
pub struct Cable {
    orders: std::fs::File,
    process: Process,
    _middle: NetNs,
}

impl Cable {
    /// Joins two namespaces: `one` gets `address`, `other` gets `other_address` (both like `10.0.0.1/24`).
    ///
    /// # Errors
    /// When the kernel refuses, or the program in the middle does not start.
    pub fn join(run: &TestRun, seed: u64, one: (&NetNs, &str), other: (&NetNs, &str)) -> Result<Self> {
        let middle = NetNs::new()?;
        let left = middle.join_bare(one.0)?;
        let right = middle.join_bare(other.0)?;
        one.0.give_address(&left, one.1)?;
        other.0.give_address(&right, other.1)?;
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("failed to make a pipe")?;
        let program = binaries::companion_path("tink-e2e-cable")?;
        let process = Process::program(&program.to_string_lossy())?
            .args([left, right, seed.to_string()])
            .in_netns(&middle)
            .stdin(read)
            .start(run)?;
        process.wait_for_line("joined", START_DEADLINE)?;
        Ok(Self { orders: own(write), process, _middle: middle })
    }

    /// From now on.
    ///
    /// # Errors
    /// When the program in the middle is gone.
    pub fn set(&mut self, faults: Faults) -> Result<()> {
        self.orders.write_all(faults.to_line().as_bytes()).context("the cable is cut")?;
        self.process.stderr().wait_for_line(&format!("now {}", faults.to_line().trim_end()), START_DEADLINE)?;
        Ok(())
    }

    /// What it did to packets so far: passed, lost, doubled, damaged, reset.
    ///
    /// # Errors
    /// When the program in the middle is gone.
    pub fn counts(&mut self) -> Result<[u64; 5]> {
        self.orders.write_all(b"counts\n").context("the cable is cut")?;
        let before = self.process.stderr().lines().iter().filter(|line| line.starts_with("counts ")).count();
        let mut seen = 0;
        let line = self.process.stderr().wait_for("its counts", START_DEADLINE, |line| {
            seen += usize::from(line.starts_with("counts "));
            seen > before || (seen == before && before > 0 && line.starts_with("counts "))
        })?;
        let mut numbers = line.split_whitespace().skip(1).map(|number| number.parse().unwrap_or(0));
        Ok(std::array::from_fn(|_| numbers.next().unwrap_or(0)))
    }
}

fn own(write: OwnedFd) -> std::fs::File {
    std::fs::File::from(write)
}
