//! Changes of the journal: disk first, then memory.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tink_mutation::Mutation;
use tink_runtime::{ExitStatus, HandleRecord};
use tracing::warn;

use super::open::NEW;
use super::{Attempt, Disk, Entry, EntryId, HookRun, Journal, JournalError, Phase, Shared, durable, log_file};
use crate::{Assignment, Report};

/// Closed entries kept beyond the limits because their containers could not be removed yet; those of older ones are left
/// to whoever looks after the engine.
const HOLDING_MAX: usize = 256;

impl Journal {
    /// Runs a change on a thread that may block: a disk can be slow.
    async fn blocking<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Self) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        if !self.0.disk.may_block() {
            return change(self);
        }
        let journal = self.clone();
        match tokio::task::spawn_blocking(move || change(&journal)).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(JournalError::Closed),
        }
    }

    async fn change(
        &self,
        id: EntryId,
        file: &'static str,
        bytes: Result<Vec<u8>, serde_json::Error>,
        apply: impl FnOnce(&mut Entry) + Send + 'static,
    ) -> Result<(), JournalError> {
        self.blocking(move |journal| {
            let path = journal.path(id, file)?;
            let bytes = bytes.map_err(|source| JournalError::Encode { path: path.clone(), source })?;
            durable::write(journal.0.disk.as_ref(), &path, &bytes)
                .map_err(|source| JournalError::Write { path, source })?;
            if let Some(entry) = journal.0.lock().entries.get_mut(&id) {
                apply(entry);
            }
            Ok(())
        })
        .await
    }

    fn path(&self, id: EntryId, file: &str) -> Result<PathBuf, JournalError> {
        let state = self.0.lock();
        let entry = state.entries.get(&id).ok_or(JournalError::NoEntry { id: id.0 })?;
        Ok(self.assignments().join(&entry.dir_name).join(file))
    }

    /// Opens an entry: from now on the assignment is remembered.
    pub(crate) async fn begin(&self, assignment: Assignment) -> Result<Entry, JournalError> {
        self.blocking(move |journal| {
            let shared: &Shared = &journal.0;
            let id = {
                let mut state = shared.lock();
                state.next += 1;
                EntryId(state.next)
            };
            let entry = Entry::new(id, assignment);
            let dir = journal.dir_of(&entry);
            let fresh = journal.assignments().join(format!("{NEW}{}", entry.dir_name));
            let file = fresh.join("assignment.json");
            let bytes =
                json(&*entry.assignment).map_err(|source| JournalError::Encode { path: file.clone(), source })?;
            let failed = |source| JournalError::Write { path: file.clone(), source };
            let disk = shared.disk.as_ref();
            durable::create_dir(disk, &fresh).map_err(failed)?;
            durable::write(disk, &file, &bytes).map_err(failed)?;
            durable::rename(disk, &fresh, &dir).map_err(failed)?;
            shared.lock().entries.insert(id, entry.clone());
            Ok(entry)
        })
        .await
    }

    /// A run is about to start a container. What an older run left in the entry is forgotten, its output too: an action
    /// that is begun anew at every boot must not fill the disk.
    pub(crate) async fn attempt(&self, id: EntryId, attempt: Attempt) -> Result<(), JournalError> {
        if tink_mutation::is(Mutation::ForgetAttempt) {
            if let Some(entry) = self.0.lock().entries.get_mut(&id) {
                (entry.attempt, entry.container) = (Some(attempt), None);
            }
            return Ok(());
        }
        self.forget_older_attempts(id).await?;
        let bytes = json(&attempt);
        self.change(id, "attempt.json", bytes, move |entry| {
            entry.attempt = Some(attempt);
            // The file of an older attempt's container names that attempt and is ignored when it is read back.
            entry.container = None;
        })
        .await
    }

    /// Before the new attempt is on disk: should it have the number of the old one, its output is counted from nothing.
    async fn forget_older_attempts(&self, id: EntryId) -> Result<(), JournalError> {
        self.blocking(move |journal| {
            let entry = journal.entry(id).ok_or(JournalError::NoEntry { id: id.0 })?;
            journal.forget_output(&journal.dir_of(&entry));
            Ok(())
        })
        .await
    }

    fn forget_output(&self, dir: &Path) {
        if let Err(error) = log_file::remove_all(self.0.disk.as_ref(), dir) {
            warn!(dir = %dir.display(), %error, "output that is not needed any more cannot be removed");
        }
    }

    /// The run's container is known.
    pub(crate) async fn container(&self, id: EntryId, record: HandleRecord) -> Result<(), JournalError> {
        self.change(id, "container.json", json(&record), move |entry| entry.container = Some(record)).await
    }

    /// The action ends the machine, and the server is about to be told.
    pub(crate) async fn leaving(&self, id: EntryId) -> Result<(), JournalError> {
        self.change(id, "leaving", Ok(Vec::new()), |entry| entry.leaving = true).await
    }

    /// The server knows that the action ends the machine.
    pub(crate) async fn left(&self, id: EntryId) -> Result<(), JournalError> {
        self.change(id, "left", Ok(Vec::new()), |entry| entry.left = true).await
    }

    /// The worker is about to stop the container, for this reason.
    pub(crate) async fn stopping(&self, id: EntryId, reason: String) -> Result<(), JournalError> {
        let bytes = Ok(format!("{reason}\n").into_bytes());
        self.change(id, "stopping", bytes, move |entry| entry.stopping = Some(reason)).await
    }

    /// The container ended.
    pub(crate) async fn exit(&self, id: EntryId, status: ExitStatus) -> Result<(), JournalError> {
        self.change(id, "exit.json", json(&status), move |entry| entry.exit = Some(status)).await
    }

    /// A hook is about to be started, or its container is known.
    pub(crate) async fn hook(&self, id: EntryId, hook: HookRun) -> Result<(), JournalError> {
        self.change(id, "hook.json", json(&hook), move |entry| entry.hook = Some(hook)).await
    }

    /// The result, as it will be reported.
    pub(crate) async fn result(&self, id: EntryId, report: Report) -> Result<(), JournalError> {
        self.change(id, "result.json", json(&report), move |entry| entry.result = Some(report)).await
    }

    /// The container was removed from its engine.
    pub(crate) async fn removed(&self, id: EntryId) -> Result<(), JournalError> {
        self.change(id, "removed", Ok(Vec::new()), |entry| entry.removed = true).await?;
        // It may have been closed before, and kept for this alone.
        self.prune().await
    }

    /// The entry needs no further work, for this reason.
    pub(crate) async fn close(&self, id: EntryId, note: String) -> Result<(), JournalError> {
        let bytes = Ok(format!("{note}\n").into_bytes());
        self.change(id, "acknowledged", bytes, move |entry| entry.closed = Some(note)).await?;
        self.prune().await
    }

    /// Removes the oldest closed entries that are over the limits.
    pub(crate) async fn prune(&self) -> Result<(), JournalError> {
        let limits = self.0.limits.clone();
        self.prune_to(limits.closed_entries_max, limits.closed_bytes_max).await
    }

    /// Removes the oldest closed entries until at most so many and so much are left.
    pub(crate) async fn prune_to(&self, entries_max: usize, bytes_max: u64) -> Result<(), JournalError> {
        self.blocking(move |journal| {
            let closed: Vec<Entry> =
                journal.entries().into_iter().filter(|entry| entry.phase() == Phase::Closed).collect();
            let mut bytes = 0_u64;
            for (nth, entry) in closed.iter().rev().enumerate() {
                let dir = journal.dir_of(entry);
                bytes = bytes.saturating_add(dir_bytes(journal.0.disk.as_ref(), &dir));
                if nth < entries_max && bytes <= bytes_max {
                    continue;
                }
                // A container that could not be removed yet is still to be found through its entry; the output is not needed.
                if entry.holds_containers() && nth < entries_max.saturating_add(HOLDING_MAX) {
                    journal.forget_output(&dir);
                } else {
                    let source = durable::remove_dir(journal.0.disk.as_ref(), &dir).err();
                    journal.0.lock().entries.remove(&entry.id);
                    if let Some(source) = source {
                        return Err(JournalError::Write { path: dir, source });
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

pub(super) fn dir_bytes(disk: &dyn Disk, dir: &Path) -> u64 {
    let names = disk.list(dir).into_iter().flatten();
    names.filter_map(|name| disk.len(&dir.join(name)).ok()).map(|bytes| bytes.max(4096)).sum()
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}
