//! Power cuts, from a recorded trace of what a real program wrote.
//!
//! ```text
//! program under strace ─► operations in order ─► replayed up to the cut ─► what may be on the disk ─► the program again
//! ```
//!
//! The disk is a strict one: what is written is there for sure only after the file was synced, and a name only after its
//! directory was; of everything else any part may be there or not, each write torn at any sector. [`Cut`] draws one such
//! disk from a seed.

mod disk;
mod trace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::crash::Dice;
use crate::{Launch, Process};
use disk::Disk;
use trace::Operation;

/// The system calls that change what is on a disk.
const CALLS: &str = "trace=openat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,unlink,\
                     unlinkat,mkdir,mkdirat,rmdir,ftruncate";

/// What a program wrote below a directory, in order.
#[derive(Debug)]
pub struct WriteTrace {
    operations: Vec<Operation>,
}

/// Where the power is cut, and what of the unsynced is there.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Operations that had happened.
    pub after: usize,
    /// Draws what is there.
    pub seed: u64,
}

/// Prepares to run one of our programs under the recorder; [`WriteTrace::read`] reads what it recorded.
///
/// # Errors
/// When strace is not installed.
pub fn recorded(program: &str, log: &Path) -> Result<Launch> {
    let program = crate::binary_path(program)?;
    Ok(Process::program("strace")?
        .args(["-f", "--seccomp-bpf", "-ttt", "-y", "-xx", "-s", "8388608", "-e", CALLS, "-o"])
        .arg(log)
        .arg(program))
}

impl WriteTrace {
    /// Reads what was recorded about files below `root`, which was empty, and whose own name is durable.
    ///
    /// # Errors
    /// When the log cannot be read, or says what nobody expects.
    pub fn read(log: &Path, root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(log).with_context(|| format!("failed to read {}", log.display()))?;
        Ok(Self { operations: trace::parse(&text, root)? })
    }

    /// How many places there are to cut.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// How many operations had surely happened by a moment, as time since 1970.
    #[must_use]
    pub fn happened_by(&self, moment: Duration) -> usize {
        self.operations.iter().take_while(|operation| operation.at < moment).count()
    }

    /// Syncs among the operations.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.operations.iter().filter(|operation| operation.is_sync()).count()
    }

    /// The same without a single sync: what a program would have written that never cared.
    #[must_use]
    pub fn without_syncs(&self) -> Self {
        let operations = self.operations.iter().filter(|operation| !operation.is_sync()).cloned().collect();
        Self { operations }
    }

    /// Every cut of a run: all of them if there are few, else as many as are wanted, by chance, the last one among them.
    #[must_use]
    pub fn cuts(&self, wanted: usize, seed: u64) -> Vec<Cut> {
        let mut dice = Dice::new(seed);
        let all = self.len() + 1;
        let places: Vec<usize> = if all <= wanted {
            (0..all).collect()
        } else {
            let chance = |dice: &mut Dice| usize::try_from(dice.below(all as u64)).unwrap_or(0);
            (1..wanted).map(|_| chance(&mut dice)).chain([self.len()]).collect()
        };
        places.into_iter().map(|after| Cut { after, seed: dice.below(1_000_000) }).collect()
    }

    /// A cut after each removal of a name: whatever is taken away in several steps is half there at one of them.
    #[must_use]
    pub fn cuts_in_removals(&self, seed: u64) -> Vec<Cut> {
        let mut dice = Dice::new(seed);
        let removals = self.operations.iter().enumerate().filter(|(_, operation)| operation.is_removal());
        removals.map(|(nth, _)| Cut { after: nth + 1, seed: dice.below(1_000_000) }).collect()
    }

    /// Writes what is on the disk after a cut into an empty directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_disk(&self, cut: Cut, to: &Path) -> Result<PathBuf> {
        let mut disk = Disk::default();
        for operation in self.operations.iter().take(cut.after) {
            disk.apply(&operation.what);
        }
        disk.survive(&mut Dice::new(cut.seed));
        disk.write(to)?;
        Ok(to.to_owned())
    }
}
