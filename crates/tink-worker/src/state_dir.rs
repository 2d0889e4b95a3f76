//! Where the journal can be.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

use crate::journal::{Journal, JournalError, Phase, RealDisk, durable};
use crate::{Backoff, Settings, error_chain};

/// Between two tries to open the journal, before the jitter.
const JOURNAL_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The first directory that can be written, or that has a journal: the wanted one, `/run/tink-worker`, one under the
/// temporary directory. The last one is returned in any case.
///
/// A worker with a journal in the wrong place is better than none: nothing restarts it where it runs. But one that leaves
/// its journal behind forgets what it runs and what it has to report, so a disk that refuses writes for now is waited for.
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
            Err(error) if has_journal(path) => {
                warn!(
                    path = %path.display(), %error,
                    "the state directory cannot be written; what its journal holds is reported and taken up, and nothing \
                     new is started until it can be"
                );
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

/// Opens the journal; where the disk refuses that, for as long as it does. A worker that ended would be started again by
/// nobody, and what it has in its journal would never be reported.
pub async fn journal(settings: &Settings) -> Journal {
    let mut backoff = Backoff::new(JOURNAL_PAUSE_MAX);
    let mut said = false;
    loop {
        let failure = match open(settings).await {
            Ok(journal) => return journal,
            Err(failure) => failure,
        };
        if !std::mem::replace(&mut said, true) {
            warn!(error = error_chain(&failure), "the journal cannot be opened; the worker tries again until it can");
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// On a thread that may block: a disk can be slow, and a signal must be heard meanwhile.
async fn open(settings: &Settings) -> Result<Journal, JournalError> {
    let Settings { state_dir, disk, journal, .. } = settings.clone();
    let opened = tokio::task::spawn_blocking(move || Journal::open(&state_dir, disk, journal)).await;
    opened.unwrap_or(Err(JournalError::Closed))
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
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Not by closing alone: what another thread forks meanwhile has a copy of the descriptor until its exec.
        let _ = self.file.unlock();
    }
}

/// Takes the right to use a state directory; `None` while another worker has it.
///
/// # Errors
/// When the file system has no locks, or the directory cannot be written.
pub fn lock(state_dir: &Path) -> io::Result<Option<Lock>> {
    let path = state_dir.join("lock");
    let writable = File::options().write(true).create(true).truncate(false).open(&path);
    // One that is there can be locked on a disk that refuses writes, too.
    let file = writable.or_else(|error| File::open(&path).map_err(|_| error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether an earlier life of this worker kept its journal there, and not somebody else.
fn has_journal(path: &Path) -> bool {
    let us = rustix::process::geteuid().as_raw();
    path.join("assignments").metadata().is_ok_and(|found| found.is_dir() && found.uid() == us)
}

fn probe(path: &Path) -> io::Result<()> {
    durable::create_dir(&RealDisk, path)?;
    let owner = std::fs::metadata(path)?.uid();
    let us = rustix::process::geteuid().as_raw();
    if owner != us {
        return Err(io::Error::other(format!("it belongs to user {owner}, not to {us}")));
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

    #[test]
    fn a_journal_that_is_there_is_not_left_for_another_directory_when_its_disk_refuses_writes() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("state");
        std::fs::create_dir_all(wanted.join("assignments")).unwrap();
        // No file can be made in the place of a directory, whoever asks.
        std::fs::create_dir(wanted.join("writable.tmp")).unwrap();
        assert_eq!(usable(&wanted), wanted);
        std::fs::remove_dir(wanted.join("assignments")).unwrap();
        assert_ne!(usable(&wanted), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_cannot_be_opened_is_tried_again_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("state");
        std::fs::write(&root, "in the way").unwrap();
        let settings = Settings::new(tink_workflow::WorkerId::parse("w1").unwrap(), &root);
        let opening = journal(&settings);
        tokio::pin!(opening);
        tokio::select! {
            _ = &mut opening => panic!("opened in a file"),
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
        }
        std::fs::remove_file(&root).unwrap();
        assert_eq!(opening.await.root(), root);
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
