//! What became of a container.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::exit::ExitStatus;
use crate::record::{Record, RecordError};
use crate::watch::{Watch, ended};

/// The file the shim holds locked for as long as it lives: the one sign of life that no reuse of process numbers, no
/// reboot and no other PID namespace can fake.
pub(crate) const LOCK_FILE: &str = "lock";

/// A container as it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being built; its program does not run yet.
    Starting,
    /// Its program runs (or has just ended, and its exit is about to be written).
    Running(Box<Record>),
    /// It has ended, and this is how.
    Exited(Box<ExitStatus>),
    /// Nothing runs and nothing says how it ended: never started, the machine was rebooted, or the shim was killed.
    Gone,
}

/// Looks at the container whose state directory is `dir`.
///
/// # Errors
/// The state directory cannot be read.
pub fn status(dir: &Path) -> Result<Status, StatusError> {
    let read = |source| StatusError::Read { dir: dir.to_owned(), source };
    if let Some(exit) = ExitStatus::load(dir).map_err(read)? {
        return Ok(Status::Exited(Box::new(exit)));
    }
    if is_locked(dir).map_err(read)? {
        return Ok(Record::load(dir)?.map_or(Status::Starting, |record| Status::Running(Box::new(record))));
    }
    // The shim may have written the exit and ended between the two looks.
    let exit = ExitStatus::load(dir).map_err(read)?;
    Ok(exit.map_or(Status::Gone, |exit| Status::Exited(Box::new(exit))))
}

/// Waits until the container has ended, by the kernel's notifications and without polling.
///
/// Cancel-safe. Returns as soon as the exit can be read, when all of the container's processes and mounts are gone.
///
/// # Errors
/// The container is gone without an exit, or its state directory cannot be read or watched.
pub async fn wait(dir: &Path) -> Result<ExitStatus, WaitError> {
    let watching = |source| WaitError::Watch { dir: dir.to_owned(), source };
    let mut watch: Option<Watch> = None;
    loop {
        let shim = match status(dir)? {
            Status::Exited(exit) => return Ok(*exit),
            Status::Gone => return Err(WaitError::Gone { dir: dir.to_owned() }),
            Status::Starting => None,
            Status::Running(record) => Some(record.shim),
        };
        match (shim, &mut watch) {
            (_, Some(made)) => {
                made.changed().await.map_err(watching)?;
                // Made anew in the next round: what was starting has a record of its shim by then.
                watch = None;
            }
            (Some(shim), None) if ended(dir, shim).await.map_err(watching)? => {}
            // Starting, just ended, or another PID namespace's: the directory tells. Looked at once more before waiting, so
            // that nothing happens unseen in between.
            (_, None) => watch = Some(Watch::new(dir, &[dir.to_owned()]).map_err(watching)?),
        }
    }
}

/// Whether the container writes nothing more.
pub(crate) fn is_over(dir: &Path) -> bool {
    matches!(status(dir), Ok(Status::Exited(_) | Status::Gone))
}

/// Whether a shim lives in this state directory.
pub(crate) fn is_locked(dir: &Path) -> std::io::Result<bool> {
    let lock = match File::open(dir.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A container cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Its state directory cannot be read.
    #[error("failed to read the container state in {dir:?}")]
    Read {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A container cannot be waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It is gone, and nothing says how it ended.
    #[error("the container in {dir:?} is gone without an exit: the machine was rebooted or its shim was killed")]
    Gone {
        /// The state directory.
        dir: PathBuf,
    },
    /// Its state directory cannot be watched.
    #[error("failed to watch the container state in {dir:?}; is fs.inotify.max_user_instances used up?")]
    Watch {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
}
