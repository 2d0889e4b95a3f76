//! Ending a container.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::cgroup;
use crate::record::Record;
use crate::status::{Status, StatusError, WaitError, status, wait};

/// How long everything may take to die of SIGKILL. The shim itself gives up on stuck processes after ten seconds.
const KILL_DEADLINE: Duration = Duration::from_secs(15);

/// Stops a container: SIGTERM to its program, and after `grace` SIGKILL to everything in it, whatever process group or
/// session it went to. Ok when it has ended already. When this returns, its exit (if it had any) can be read.
///
/// # Errors
/// Something did not die within 15 seconds of SIGKILL, or the container cannot be looked at.
pub async fn stop(dir: &Path, grace: Duration) -> Result<(), StopError> {
    let record = match status(dir)? {
        Status::Exited(_) | Status::Gone => return Ok(()),
        Status::Running(record) => Some(record),
        // Not in the record yet: its program does not run yet, either; it is killed as soon as it shows.
        Status::Starting => None,
    };
    if let Some(record) = &record {
        record.init.signal(Signal::TERM).map_err(|source| StopError::Signal { id: record.id.clone(), source })?;
        if ended_within(dir, grace).await? {
            return Ok(());
        }
    }
    kill(dir)?;
    if ended_within(dir, KILL_DEADLINE).await? {
        return Ok(());
    }
    let pids = Record::load(dir).ok().flatten().map(|record| cgroup::processes(&record.cgroups)).unwrap_or_default();
    Err(StopError::Alive { dir: dir.to_owned(), pids })
}

/// SIGKILL to everything.
fn kill(dir: &Path) -> Result<(), StopError> {
    let Some(record) = Record::load(dir).map_err(StatusError::from)? else { return Ok(()) };
    // The program first: with it goes its PID namespace, and its exit code is that of SIGKILL.
    record.init.signal(Signal::KILL).map_err(|source| StopError::Signal { id: record.id.clone(), source })?;
    cgroup::kill_all(&record.cgroups);
    Ok(())
}

async fn ended_within(dir: &Path, limit: Duration) -> Result<bool, StopError> {
    match tokio::time::timeout(limit, wait(dir)).await {
        Err(_) => Ok(false),
        Ok(Ok(_) | Err(WaitError::Gone { .. })) => Ok(true),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// A container was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The kernel refused the signal.
    #[error("failed to signal container {id}")]
    Signal {
        /// The container.
        id: String,
        /// Why.
        source: std::io::Error,
    },
    /// Processes are stuck in the kernel: SIGKILL takes effect when the device they wait for answers.
    #[error(
        "processes {pids:?} of the container in {dir:?} did not die of SIGKILL; the device they wait for may be dead"
    )]
    Alive {
        /// The state directory.
        dir: PathBuf,
        /// Those processes.
        pids: Vec<i32>,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// It cannot be waited for.
    #[error(transparent)]
    Wait(#[from] WaitError),
}
