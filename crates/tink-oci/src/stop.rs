//! Ending a container.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::boot::boot_id;
use crate::members;
use crate::record::Record;
use crate::spec::Spec;
use crate::status::{Status, StatusError, WaitError, status, wait};

/// How long everything may take to die of SIGKILL. The shim itself gives up on stuck processes after ten seconds.
const KILL_DEADLINE: Duration = Duration::from_secs(15);

/// Says that the program of a container that is being built must not start.
const STOP_FILE: &str = "stop";

/// Stops a container: SIGTERM, or the signal that its specification names, to its program, and after `grace` SIGKILL to
/// everything in it, whatever process group or session it went to. One that is being built is never let run. Ok when it
/// has ended already. When this returns, its exit (if it had any) can be read.
///
/// # Errors
/// Something did not die within 15 seconds of SIGKILL, or the container cannot be looked at.
pub async fn stop(dir: &Path, grace: Duration) -> Result<(), StopError> {
    let record = match status(dir)? {
        Status::Exited(_) => return Ok(()),
        Status::Gone => return end_what_is_left(dir).await,
        Status::Running(record) => *record,
        Status::Starting => match forbid(dir)? {
            Some(record) => record,
            None if ended_within(dir, KILL_DEADLINE).await? => return Ok(()),
            None => return Err(StopError::Building { dir: dir.to_owned() }),
        },
    };
    record.init.signal(asking(dir)).map_err(|source| StopError::Signal { id: record.id.clone(), source })?;
    if ended_within(dir, grace).await? {
        return Ok(());
    }
    kill(&record)?;
    if ended_within(dir, KILL_DEADLINE).await? {
        return Ok(());
    }
    Err(StopError::Alive { dir: dir.to_owned(), pids: members::pids(&record.cgroups, dir) })
}

/// Keeps the program of a container that is being built from starting; gives the record if it is too late for that.
fn forbid(dir: &Path) -> Result<Option<Record>, StopError> {
    let mark = File::options().write(true).create(true).truncate(false).open(dir.join(STOP_FILE));
    mark.map_err(|source| StatusError::Read { dir: dir.to_owned(), source })?;
    // The shim saves the record before it looks for our mark: without a record here it will find the mark there.
    Ok(Record::load(dir).map_err(StatusError::from)?)
}

/// Whether the program must not start.
pub(crate) fn is_stopped(dir: &Path) -> bool {
    dir.join(STOP_FILE).exists()
}

/// The signal that asks the program to end.
fn asking(dir: &Path) -> Signal {
    Spec::load(dir).and_then(|spec| spec.stop_signal).and_then(Signal::from_named_raw).unwrap_or(Signal::TERM)
}

/// SIGKILL to everything.
fn kill(record: &Record) -> Result<(), StopError> {
    // The program first: with it goes its PID namespace, and its exit code is that of SIGKILL.
    record.init.signal(Signal::KILL).map_err(|source| StopError::Signal { id: record.id.clone(), source })?;
    members::kill_all(&record.cgroups, &record.dir);
    Ok(())
}

/// Ends what outlived a shim that was killed: a program that became another user is not tied to it any more, and nothing
/// ties the others to the program where they see the host's processes.
async fn end_what_is_left(dir: &Path) -> Result<(), StopError> {
    // Without a record its program never ran. After another boot all its numbers are others'.
    let Some(record) = Record::load(dir).ok().flatten().filter(is_of_this_boot) else { return Ok(()) };
    let killing = async {
        let mut pause = Duration::from_millis(1);
        loop {
            kill(&record)?;
            if !record.init.is_alive() && !members::are_there(&record.cgroups, dir) {
                return Ok(());
            }
            // They are nobody's children that we know of: nothing tells when the last of them has died.
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    };
    match timeout(KILL_DEADLINE, killing).await {
        Ok(done) => done,
        Err(_) => Err(StopError::Alive { dir: dir.to_owned(), pids: members::pids(&record.cgroups, dir) }),
    }
}

fn is_of_this_boot(record: &Record) -> bool {
    boot_id().is_ok_and(|boot| boot == record.boot_id)
}

async fn ended_within(dir: &Path, limit: Duration) -> Result<bool, StopError> {
    match timeout(limit, wait(dir)).await {
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
    /// It is built for as long as something it needs does not answer. Its program will not start.
    #[error(
        "the container in {dir:?} is still being built, perhaps from a source that does not answer; its program will not start"
    )]
    Building {
        /// The state directory.
        dir: PathBuf,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// It cannot be waited for.
    #[error(transparent)]
    Wait(#[from] WaitError),
}
