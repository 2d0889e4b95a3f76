//! Removing what a container left.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::container::{UPPER_DIR, WORK_DIR};
use crate::record::Record;
use crate::spec::Spec;
use crate::status::{LOCK_FILE, is_locked};
use crate::stop::{StopError, stop};
use crate::{cgroup, mountinfo, process};

/// How long the shim may take to clean up behind the exit it wrote: a layer of very many files on a slow disk takes long.
const SHIM_DEADLINE: Duration = Duration::from_secs(120);

/// Removes a container: kills what still runs of it and takes away its cgroups and its state directory, log and exit
/// included. Ok when it is gone already; safe to repeat.
///
/// # Errors
/// Something does not die, or a directory cannot be removed.
pub async fn remove(dir: &Path) -> Result<(), RemoveError> {
    if !dir.exists() {
        return Ok(());
    }
    // A damaged record must not keep the rest from being removed.
    let record = Record::load(dir).ok().flatten();
    match stop(dir, Duration::ZERO).await {
        Err(StopError::Status(crate::StatusError::Record(_))) | Ok(()) => {}
        // Nothing of it lives but its shim, which finds no room for the exit: nobody wants to know that any more.
        Err(error @ StopError::Alive { .. }) => match record.as_ref().map(|record| record.shim) {
            Some(shim) if process::descendants(shim.pid).is_empty() => {
                shim.signal(Signal::KILL).map_err(|source| RemoveError::Shim { dir: dir.to_owned(), source })?;
            }
            _ => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    }
    shim_end(dir).await?;
    remove_cgroups(dir, record.as_ref()).await?;
    let removing = |source| RemoveError::Directory { dir: dir.to_owned(), source };
    // Somebody else may remove it at the same time: a worker, and an operator's `tink rm`.
    match unmount_below(dir).and_then(|()| std::fs::remove_dir_all(dir)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(removing(error)),
        _ => Ok(()),
    }
}

/// Removes what a container wrote that is gone, killed or cut short by a reboot, and leaves what is known of it. Ok when
/// nothing of it is there.
///
/// # Errors
/// It cannot be removed.
pub fn remove_layer(dir: &Path) -> Result<(), RemoveError> {
    let mut result = Ok(());
    for path in [UPPER_DIR, WORK_DIR].map(|name| dir.join(name)) {
        match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                result = Err(RemoveError::Directory { dir: path, source });
            }
            _ => {}
        }
    }
    result
}

/// Waits for the shim, which cleans up for a moment after it wrote the exit: until its lock is free.
async fn shim_end(dir: &Path) -> Result<(), RemoveError> {
    let waiting = |source| RemoveError::Shim { dir: dir.to_owned(), source };
    if !is_locked(dir).map_err(waiting)? {
        return Ok(());
    }
    let lock = match File::open(dir.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(waiting(error)),
    };
    let locked = spawn_blocking(move || retry_on_intr(|| flock(&lock, FlockOperation::LockShared)));
    match timeout(SHIM_DEADLINE, locked).await {
        Ok(Ok(locked)) => locked.map_err(|error| waiting(error.into())),
        Ok(Err(_)) => Err(waiting(std::io::ErrorKind::Interrupted.into())),
        Err(_) => Err(waiting(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Kills and removes what a killed shim left in the cgroups. There is no event to wait for in cgroup v1.
async fn remove_cgroups(dir: &Path, record: Option<&Record>) -> Result<(), RemoveError> {
    let mut cgroups = match record {
        Some(record) => record.cgroups.clone(),
        None => cgroups_by_id(dir),
    };
    let of_shim: Vec<PathBuf> = cgroups.iter().map(|cgroup| cgroup::of_shim(cgroup)).collect();
    cgroups.extend(of_shim);
    let mut pause = Duration::from_millis(1);
    loop {
        match cgroup::remove(&cgroups) {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() != Some(Errno::BUSY.raw_os_error()) => {
                return Err(RemoveError::Cgroup { dir: dir.to_owned(), source: error });
            }
            Err(error) if pause > Duration::from_secs(2) => {
                return Err(RemoveError::Cgroup { dir: dir.to_owned(), source: error });
            }
            Err(_) => {
                cgroup::kill_all(&cgroups);
                sleep(pause).await;
                pause *= 2;
            }
        }
    }
}

/// The cgroups of a container whose record is lost.
fn cgroups_by_id(dir: &Path) -> Vec<PathBuf> {
    let hierarchies = cgroup::discover().unwrap_or_default();
    Spec::load(dir)
        .filter(|spec| spec.check().is_ok())
        .map(|spec| cgroup::paths(&hierarchies, &spec.id))
        .unwrap_or_default()
}

/// Containers mount in a namespace of their own, so nothing should be here; but a directory with something mounted below
/// must never be emptied.
fn unmount_below(dir: &Path) -> std::io::Result<()> {
    let dir = std::fs::canonicalize(dir)?;
    for mount in mountinfo::read()?.iter().rev().filter(|mount| mount.point != dir && mount.point.starts_with(&dir)) {
        unmount(&mount.point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    Ok(())
}

/// A container was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It could not be stopped.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// Its shim does not end.
    #[error("the shim of the container in {dir:?} did not end")]
    Shim {
        /// The state directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its cgroups are in use or cannot be removed.
    #[error("failed to remove the cgroups of the container in {dir:?}")]
    Cgroup {
        /// The state directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its state directory cannot be removed.
    #[error("failed to remove the container directory {dir:?}")]
    Directory {
        /// The state directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
