//! Starting a container, from the launcher's side.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use tokio::time::timeout;

use crate::capabilities::log_missing_once;
use crate::claim::Claim;
use crate::failure::StartFailure;
use crate::forker;
use crate::handshake::Message;
use crate::process::ProcessId;
use crate::record::Record;
use crate::shim::{LAUNCH_ARGUMENT, SHIM_NAME};
use crate::spec::{Spec, SpecError};
use crate::sys;

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
        match self.order()? {
            // No thread waits for it, which would have to be woken up first.
            Ordered::Shim(answers) => Answers::outcome_async(&dir, answers).await,
            Ordered::Nobody(streams) => match tokio::task::spawn_blocking(move || streams.start_again()).await {
                Ok(result) => result,
                Err(source) => Err(LaunchError::Interrupted { dir, source }),
            },
        }
    }

    fn launch_blocking(self) -> Result<Record, LaunchError> {
        let dir = self.spec().dir.clone();
        match self.order()? {
            Ordered::Shim(answers) => Answers::outcome(&dir, answers),
            Ordered::Nobody(streams) => streams.start_again(),
        }
    }

    /// Orders a shim of the forker.
    fn order(mut self) -> Result<Ordered, LaunchError> {
        log_missing_once();
        let dir = self.spec().dir.clone();
        let spawning = |source| LaunchError::Spawn { dir: dir.clone(), source };
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| spawning(error.into()))?;
        fcntl_setfl(&read, OFlags::NONBLOCK).map_err(|error| spawning(error.into()))?;
        let log =
            File::options().create(true).append(true).mode(0o600).open(dir.join(SHIM_LOG_FILE)).map_err(spawning)?;
        // The sign of life goes on from us to the shim: at no time does the container look as if there were none.
        let lock = match self.hand_on() {
            Some(lock) => lock,
            None => File::open("/dev/null").map_err(spawning)?,
        };
        if forker::order(&dir, lock.as_fd(), write.as_fd(), log.as_fd()) {
            return Ok(Ordered::Shim(read));
        }
        Ok(Ordered::Nobody(Streams { dir, lock, launcher: write, log, answers: read }))
    }
}

/// Who starts the container.
enum Ordered {
    /// A shim, which will answer on this pipe.
    Shim(OwnedFd),
    /// There is no forker; a shim is still to be started, with these.
    Nobody(Streams),
}

/// What a shim is started with.
struct Streams {
    dir: PathBuf,
    lock: File,
    launcher: OwnedFd,
    log: File,
    answers: OwnedFd,
}

impl Streams {
    fn start_again(self) -> Result<Record, LaunchError> {
        let Self { dir, lock, launcher, log, answers } = self;
        let spawning = |source| LaunchError::Spawn { dir: dir.clone(), source };
        let mut starter = start_again(&dir, lock, launcher, log).map_err(spawning)?;
        let answer = Answers::outcome(&dir, answers);
        // It only forks the shim and ends; the shim is no child of ours.
        starter.wait().map_err(spawning)?;
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

/// What the shim has said on the pipe, which does not block.
struct Answers<'a> {
    dir: &'a Path,
    /// What has come and is no whole message yet.
    text: Vec<u8>,
    shim: Option<ProcessId>,
}

impl<'a> Answers<'a> {
    /// Waits for what it comes to.
    fn outcome(dir: &'a Path, pipe: OwnedFd) -> Result<Record, LaunchError> {
        let mut answers = Self::none(dir);
        loop {
            match wait(&pipe).and_then(|()| answers.take(&pipe)) {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(source) => return answers.give_up(source),
            }
        }
    }

    /// As [`Answers::outcome`], without a thread of its own.
    async fn outcome_async(dir: &'a Path, pipe: OwnedFd) -> Result<Record, LaunchError> {
        let mut answers = Self::none(dir);
        let waited = async {
            let pipe = sys::await_readable(pipe)?;
            loop {
                let mut ready =
                    timeout(HANDSHAKE_DEADLINE, pipe.readable()).await.map_err(|_| std::io::ErrorKind::TimedOut)??;
                if let Some(outcome) = answers.take(pipe.get_ref())? {
                    return Ok(outcome);
                }
                ready.clear_ready();
            }
        };
        let waited: std::io::Result<_> = waited.await;
        waited.unwrap_or_else(|source| answers.give_up(source))
    }

    fn none(dir: &'a Path) -> Self {
        Self { dir, text: Vec::new(), shim: None }
    }

    /// Takes what is there; nothing if that is not the outcome yet.
    fn take(&mut self, pipe: &OwnedFd) -> std::io::Result<Option<Result<Record, LaunchError>>> {
        let mut buffer = [0_u8; 4096];
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut buffer)) {
                Ok(0) => return Ok(Some(self.silence())),
                Ok(length) => self.text.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                match serde_json::from_slice(&line)? {
                    Message::Shim(id) => self.shim = Some(id),
                    Message::Started(record) => return Ok(Some(Ok(*record))),
                    Message::Failed(failure) => return Ok(Some(Err(failure.into()))),
                }
            }
        }
    }

    /// The shim has gone.
    fn silence(&self) -> Result<Record, LaunchError> {
        let silent = || LaunchError::Silent { dir: self.dir.to_owned(), log: last_words(self.dir) };
        may_have_run(self.dir).ok_or_else(silent)
    }

    /// Nothing that can be understood comes.
    fn give_up(&self, source: std::io::Error) -> Result<Record, LaunchError> {
        // What it was ordered must not come later.
        forker::end_forker();
        // The half-built container dies with its shim.
        let _ = self.shim.map(|shim| shim.signal(Signal::KILL));
        may_have_run(self.dir).ok_or(LaunchError::Handshake { dir: self.dir.to_owned(), source })
    }
}

/// Waits until there is something to read.
fn wait(pipe: &OwnedFd) -> std::io::Result<()> {
    let limit = Timespec::try_from(HANDSHAKE_DEADLINE).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    match rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))? {
        0 => Err(std::io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
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
