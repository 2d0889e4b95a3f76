//! Where the journal can be.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::journal::{Disk, Journal, JournalLimits, Phase, RealDisk};

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

/// The engine that has the container of an open entry of the journal, if there is one.
#[must_use]
pub fn engine_in_use(state_dir: &Path) -> Option<String> {
    let journal = Journal::open(state_dir, Arc::new(RealDisk), JournalLimits::default()).ok()?;
    let open = journal.entries().into_iter().filter(|entry| entry.phase() == Phase::Started);
    open.last().and_then(|entry| entry.container).map(|record| record.runtime)
}

fn probe(path: &Path) -> std::io::Result<()> {
    RealDisk.create_dir(path)?;
    let owner = std::fs::metadata(path)?.uid();
    let us = rustix::process::geteuid().as_raw();
    if owner != us {
        return Err(std::io::Error::other(format!("it belongs to user {owner}, not to {us}")));
    }
    RealDisk.write(&path.join("writable"), b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_can_be_made_is_used_and_one_that_cannot_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("a/b");
        assert_eq!(usable(&wanted), wanted);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_ne!(usable(&file.join("below")), file.join("below"));
    }

    #[tokio::test]
    async fn the_engine_of_an_open_entry_is_known() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(engine_in_use(dir.path()), None);
        let journal = Journal::open(dir.path(), Arc::new(RealDisk), JournalLimits::default()).unwrap();
        let id = crate::journal::tests::started(&journal).await;
        assert_eq!(engine_in_use(dir.path()).as_deref(), Some("test"));
        journal.close(id, "accepted".to_owned()).await.unwrap();
        assert_eq!(engine_in_use(dir.path()), None);
    }
}
