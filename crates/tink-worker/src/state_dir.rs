//! Where the journal can be.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::journal::{Journal, Phase, RealDisk, durable};

/// The first directory that can be written: the wanted one, `/run/tink-worker`, one under the temporary directory. The
/// last one is returned in any case.
///
/// A worker with a journal in the wrong place is better than none: nothing restarts it where it runs.
#[must_use]
pub fn usable(wanted: &Path) -> PathBuf {
    let temporary = std::env::temp_dir().join("tink-worker");
    for path in [wanted, Path::new("/run/tink-worker")] {
        match probe(path) {
            Ok(()) => {
                if path == wanted {
                    info!(path = %path.display(), "state directory");
                } else {
                    warn!(path = %path.display(), "state directory: the journal is kept here instead");
                }
                return path.to_owned();
            }
            Err(error) => warn!(
                path = %path.display(), %error,
                "the state directory cannot be written; mount something writable there or set --state-dir"
            ),
        }
    }
    warn!(path = %temporary.display(), "state directory: a temporary one; what runs is not taken up after a reboot");
    temporary
}

/// The engine that an open entry of the journal was given to, if there is one: only that engine knows how it ends.
#[must_use]
pub fn engine_in_use(journal: &Journal) -> Option<String> {
    let is_open = |phase| matches!(phase, Phase::Attempted | Phase::Started | Phase::Ended);
    let mut open = journal.entries().into_iter().rev().filter(|entry| is_open(entry.phase()));
    open.find_map(|entry| entry.runtime().map(str::to_owned))
}

/// The right to use a state directory, kept until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the right to use a state directory; `None` while another worker has it.
///
/// # Errors
/// When the file system has no locks, or the directory cannot be written.
pub fn lock(state_dir: &Path) -> std::io::Result<Option<Lock>> {
    let file = File::options().write(true).create(true).truncate(false).open(state_dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn probe(path: &Path) -> std::io::Result<()> {
    durable::create_dir(&RealDisk, path)?;
    let owner = std::fs::metadata(path)?.uid();
    let us = rustix::process::geteuid().as_raw();
    if owner != us {
        return Err(std::io::Error::other(format!("it belongs to user {owner}, not to {us}")));
    }
    durable::write(&RealDisk, &path.join("writable"), b"")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::JournalLimits;

    #[test]
    fn a_directory_that_can_be_made_is_used_and_one_that_cannot_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("a/b");
        assert_eq!(usable(&wanted), wanted);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_ne!(usable(&file.join("below")), file.join("below"));
    }

    #[test]
    fn a_state_directory_is_used_by_one_worker_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(held.is_some());
        assert!(lock(dir.path()).unwrap().is_none());
        drop(held);
        assert!(lock(dir.path()).unwrap().is_some());
    }

    #[tokio::test]
    async fn the_engine_of_an_open_entry_is_known_before_and_after_its_container_is() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Arc::new(RealDisk), JournalLimits::default()).unwrap();
        assert_eq!(engine_in_use(&journal), None);
        let id = crate::journal::tests::attempted(&journal).await;
        assert_eq!(engine_in_use(&journal).as_deref(), Some("test"));
        journal.close(id, "accepted".to_owned()).await.unwrap();
        let id = crate::journal::tests::started(&journal).await;
        assert_eq!(engine_in_use(&journal).as_deref(), Some("test"));
        journal.close(id, "accepted".to_owned()).await.unwrap();
        assert_eq!(engine_in_use(&journal), None);
    }
}
