//! Starting a container, from the launcher's side.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use crate::capabilities::log_missing_once;
use crate::claim::Claim;
use crate::failure::StartFailure;
use crate::forker;
use crate::handshake::Message;
use crate::process::ProcessId;
use crate::record::Record;
use crate::shim::{LAUNCH_ARGUMENT, SHIM_NAME};
use crate::spec::{Spec, SpecError};

/// How long the shim may be silent: building a container takes milliseconds, but the source of a bind may be on a disk
/// or server that answers late.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(60);

/// The shim's own log, for what goes wrong in it.
const SHIM_LOG_FILE: &str = "shim.log";

/// Starts a container and returns when its program runs. See [`launch_blocking`].
///
/// # Errors
/// As [`launch_blocking`].
pub async fn launch(spec: Spec) -> Result<Record, LaunchError> {
    Claim::take(spec)?.launch().await
}

/// Starts a container and returns when its program runs (was exec'd); blocks for a few milliseconds.
///
/// Should the shim be killed when the program may have begun to run, that is no error here: the container is gone.
///
/// The container has a shim of its own and lives on when the caller ends. On an error nothing runs, and the state
/// directory says why in its exit record; [`crate::remove`] takes it away.
///
/// # Errors
/// The specification cannot be meant, the directory holds a container already, or a step failed: [`LaunchError::Start`]
/// names it and tells a missing program from one that cannot be run.
pub fn launch_blocking(spec: &Spec) -> Result<Record, LaunchError> {
    Claim::take(spec.clone())?.launch_blocking()
}

impl Claim {
    /// Starts the container and returns when its program runs.
    ///
    /// A caller that stops waiting does not end the launch: from the first poll on the container counts as starting, and
    /// [`crate::stop`] keeps its program from running.
    ///
    /// # Errors
    /// As [`launch_blocking`].
    pub async fn launch(self) -> Result<Record, LaunchError> {
        let dir = self.spec().dir.clone();
        match tokio::task::spawn_blocking(move || self.launch_blocking()).await {
            Ok(result) => result,
            Err(source) => Err(LaunchError::Interrupted { dir, source }),
        }
    }

    fn launch_blocking(mut self) -> Result<Record, LaunchError> {
        log_missing_once();
        let dir = self.spec().dir.clone();
        let spawning = |source| LaunchError::Spawn { dir: dir.clone(), source };
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| spawning(error.into()))?;
        let log =
            File::options().create(true).append(true).mode(0o600).open(dir.join(SHIM_LOG_FILE)).map_err(spawning)?;
        // The sign of life goes on from us to the shim: at no time does the container look as if there were none.
        let lock = match self.hand_on() {
            Some(lock) => lock,
            None => File::open("/dev/null").map_err(spawning)?,
        };
        let starter = if forker::order(&dir, lock.as_fd(), write.as_fd(), log.as_fd()) {
            drop((lock, write, log));
            None
        } else {
            Some(start_again(&dir, lock, write, log).map_err(spawning)?)
        };
        let answer = Answers::new(read).outcome(&dir);
        if let Some(mut starter) = starter {
            // It only forks the shim and ends; the shim is no child of ours.
            starter.wait().map_err(spawning)?;
        }
        answer
    }
}

/// Starts our own binary again as the shim.
fn start_again(dir: &Path, lock: File, launcher: OwnedFd, log: File) -> std::io::Result<Child> {
    Command::new("/proc/self/exe")
        .arg0(SHIM_NAME)
        .arg(LAUNCH_ARGUMENT)
        .arg(dir)
        .env_clear()
        .envs(tink_failpoint::inherited())
        .current_dir("/")
        .stdin(lock)
        .stdout(launcher)
        .stderr(log)
        .spawn()
}

/// The shim's answers, with a deadline.
struct Answers {
    pipe: BufReader<File>,
}

impl Answers {
    fn new(pipe: OwnedFd) -> Self {
        Self { pipe: BufReader::new(File::from(pipe)) }
    }

    fn outcome(&mut self, dir: &Path) -> Result<Record, LaunchError> {
        let mut shim: Option<ProcessId> = None;
        loop {
            match self.next() {
                Ok(Some(Message::Shim(id))) => shim = Some(id),
                Ok(Some(Message::Started(record))) => return Ok(*record),
                Ok(Some(Message::Failed(failure))) => return Err(failure.into()),
                Ok(None) => {
                    return may_have_run(dir)
                        .ok_or_else(|| LaunchError::Silent { dir: dir.to_owned(), log: last_words(dir) });
                }
                Err(source) => {
                    // What it was ordered must not come later.
                    forker::end_forker();
                    // The half-built container dies with its shim.
                    let _ = shim.map(|shim| shim.signal(Signal::KILL));
                    return may_have_run(dir).ok_or(LaunchError::Handshake { dir: dir.to_owned(), source });
                }
            }
        }
    }

    fn next(&mut self) -> std::io::Result<Option<Message>> {
        if self.pipe.buffer().is_empty() {
            let limit = Timespec::try_from(HANDSHAKE_DEADLINE).map_err(|_| std::io::ErrorKind::InvalidInput)?;
            let mut fds = [PollFd::from_borrowed_fd(self.pipe.get_ref().as_fd(), PollFlags::IN)];
            if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))? == 0 {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
        }
        let mut line = Vec::new();
        // Each message comes in one write, far below what a pipe takes at once.
        self.pipe.read_until(b'\n', &mut line)?;
        if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&line)?)) }
    }
}

/// The record of a container whose shim went silent. It is written before the program is let go, so where there is one
/// the program may have run, and to start it again could be its second time: it was started, and whoever waits for it
/// learns that it is gone.
fn may_have_run(dir: &Path) -> Option<Record> {
    Record::load(dir).ok().flatten()
}

/// The end of what the shim wrote before it went silent.
fn last_words(dir: &Path) -> String {
    let text = std::fs::read(dir.join(SHIM_LOG_FILE)).unwrap_or_default();
    String::from_utf8_lossy(text.get(text.len().saturating_sub(1000)..).unwrap_or_default()).trim().to_owned()
}

/// A container was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The specification cannot be meant.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The state directory cannot be written.
    #[error("failed to write the container state to {dir:?}")]
    State {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The state directory is another container's.
    #[error("{dir:?} holds a container already; remove that first, or give each attempt a directory of its own")]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// Our own binary could not be started as the shim.
    #[error("failed to start the shim of the container in {dir:?}")]
    Spawn {
        /// The state directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The shim ended without an answer: killed, or the binary does not call `shim_main_if_asked`.
    #[error("the shim of the container in {dir:?} ended without an answer; its last words: {log:?}")]
    Silent {
        /// The state directory.
        dir: PathBuf,
        /// The end of its own log.
        log: String,
    },
    /// The shim did not answer in time or in words we know, and was killed.
    #[error("no usable answer from the shim of the container in {dir:?}")]
    Handshake {
        /// The state directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The runtime is shutting down.
    #[error("starting the container in {dir:?} was interrupted")]
    Interrupted {
        /// The state directory.
        dir: PathBuf,
        /// Why.
        source: tokio::task::JoinError,
    },
    /// The container could not be built, or its program not be run.
    #[error(transparent)]
    Start(#[from] StartFailure),
}
