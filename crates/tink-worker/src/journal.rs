//! What the worker remembers: one directory per assignment, readable with `ls` and `cat`.
//!
//! ```text
//! <state directory>/
//!   assignments/00000007-01JD…/     number of the assignment, action id
//!     assignment.json               what was asked for; nothing runs before it is on disk
//!     leaving                       the action ends the machine, and the server is about to be told so
//!     left                          the server knows; from here on a reboot is what was wanted
//!     attempt.json                  the run: number, begin and engine; written before the container is created
//!     container.json                how to find the container again
//!     stopping                      why the worker stops the container, written before it does
//!     exit.json                     how the container ended, written before anything says so
//!     hook, hook.json               the on-timeout/on-failure container of a 2021 template
//!     result.json                   the report, word for word as it is sent until it is acknowledged
//!     removed                       the container is gone
//!     log-1.00000000                output of attempt 1 from line 0 on, each line behind its place in the engine's log;
//!                                   the newest two segments of the newest attempt are kept
//!     acknowledged                  closed: what the server said
//!   instance                        which process of its worker this is, and on which machine
//!   damaged/                        entries that could not be read, set aside
//! ```
//!
//! An entry that is being made is called `.new-…`, one that is being removed `.old-…`; both are cleared away at a start.
//!
//! Every file but the log is written to a temporary name, synced, renamed and its directory synced, so a file is there
//! whole or not at all. Closed entries are pruned by count and bytes: the disk is RAM.

mod disk;
pub(crate) mod durable;
mod entry;
mod log_file;
mod open;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tink_runtime::{Identity, Purpose};
use tink_workflow::{ActionId, WorkflowId};

pub use disk::{Disk, DiskFile, RealDisk};
pub(crate) use entry::{Attempt, Entry, EntryId, HookRun, Phase};
pub(crate) use log_file::{HOOKS, LogFile};

/// Bounds of the journal.
#[derive(Clone, Debug)]
pub struct JournalLimits {
    /// Closed entries kept for people and for late re-offers.
    pub closed_entries_max: usize,
    /// Bytes of closed entries in all.
    pub closed_bytes_max: u64,
    /// Bytes of output kept per action, the newest.
    pub log_bytes_max: u64,
    /// Damaged entries kept.
    pub damaged_max: usize,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self { closed_entries_max: 64, closed_bytes_max: 16 * 1024 * 1024, log_bytes_max: 1024 * 1024, damaged_max: 16 }
    }
}

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The state directory cannot be used at all.
    #[error("failed to open the journal in {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be made durable.
    #[error("failed to write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A value could not be put into words; a bug.
    #[error("failed to encode {path}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The entry was closed and pruned meanwhile; a bug.
    #[error("journal has no entry {id}")]
    NoEntry {
        /// Its number.
        id: u64,
    },
    /// The task that writes was cancelled because the program ends.
    #[error("the journal was closed while it was being written")]
    Closed,
}

/// The journal of one worker. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    limits: JournalLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<EntryId, Entry>,
    next: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Values are replaced whole, so a panic elsewhere cannot leave one half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// The state directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Every entry, oldest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries.values().cloned().collect()
    }

    /// What the engine may hold: the newest run of each action, and its hook, unless they are known to be removed.
    pub(crate) fn containers(&self) -> Vec<Identity> {
        let of = |entry: &Entry| {
            let action = entry.attempt.as_ref().map(|_| Purpose::Action);
            let hook = entry.hook.as_ref().map(|hook| hook.purpose);
            let identity = |purpose| entry.identity(entry.attempt_number(), purpose);
            [action, hook].into_iter().flatten().map(identity).collect::<Vec<_>>()
        };
        self.0.lock().entries.values().filter(|entry| !entry.removed).flat_map(of).collect()
    }

    /// The newest entry of an action.
    pub(crate) fn find(&self, workflow: &WorkflowId, action: &ActionId) -> Option<Entry> {
        let state = self.0.lock();
        state.entries.values().rev().find(|entry| entry.assignment.is_same_action(workflow, action)).cloned()
    }

    /// The newest entry of an action in any incarnation of its workflow (`id`, `id~2`, `id~3`, …), and which one it is.
    pub(crate) fn find_incarnation(&self, workflow: &WorkflowId, action: &ActionId) -> Option<(u64, Entry)> {
        let number = |entry: &Entry| match entry.assignment.action.as_str().strip_prefix(action.as_str())? {
            "" => Some(1),
            later => later.strip_prefix('~')?.parse().ok(),
        };
        let state = self.0.lock();
        let entries = state.entries.values().rev().filter(|entry| entry.assignment.workflow == *workflow);
        entries
            .filter_map(|entry| Some((number(entry)?, entry.clone())))
            .max_by_key(|(number, entry)| (*number, entry.id))
    }

    /// The entry of this number.
    pub(crate) fn entry(&self, id: EntryId) -> Option<Entry> {
        self.0.lock().entries.get(&id).cloned()
    }

    /// The bounded log of an entry's attempt, positioned after the last whole line.
    pub(crate) fn log(&self, entry: &Entry, attempt: u32) -> LogFile {
        LogFile::open(Arc::clone(&self.0.disk), &self.dir_of(entry), attempt, self.0.limits.log_bytes_max)
    }

    fn dir_of(&self, entry: &Entry) -> PathBuf {
        self.assignments().join(&entry.dir_name)
    }

    fn assignments(&self) -> PathBuf {
        self.0.root.join("assignments")
    }
}

#[cfg(test)]
pub(crate) mod tests;
