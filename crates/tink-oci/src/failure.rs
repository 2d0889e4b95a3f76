//! Why a container could not be started: made in the shim, sent to the launcher, kept in the exit record.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of start failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The image has no such program; shells say exit code 127.
    NoSuchProgram,
    /// The program is there but cannot be run; shells say exit code 126.
    NotExecutable,
    /// The container could not be built; Docker says exit code 125.
    Setup,
}

impl FailureKind {
    /// The exit code that shells and engines use for this failure.
    #[must_use]
    pub const fn exit_code(self) -> i32 {
        match self {
            Self::NoSuchProgram => 127,
            Self::NotExecutable => 126,
            Self::Setup => 125,
        }
    }
}

/// The system error below a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause {
    errno: i32,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.errno).fmt(f)
    }
}

impl std::error::Error for Cause {}

/// A container's program was not started: the step that failed, and on what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct StartFailure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What was being done, with what, e.g. `failed to bind /firmware on /lib/firmware`.
    pub message: String,
    /// The system error below, where there is one.
    #[source]
    pub cause: Option<Cause>,
}

impl StartFailure {
    /// Whether the same start may succeed a little later, because memory, disk space or files had run out.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use rustix::io::Errno;
        let wants = [Errno::NOSPC, Errno::DQUOT, Errno::NOMEM, Errno::NFILE, Errno::MFILE];
        self.cause.is_some_and(|cause| wants.iter().any(|errno| errno.raw_os_error() == cause.errno))
    }

    /// A failure of building the container, without a system error below.
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Setup, message: message.into(), cause: None }
    }

    /// A failure of the given kind with its system error.
    pub(crate) fn with(kind: FailureKind, message: impl Into<String>, cause: &std::io::Error) -> Self {
        Self { kind, message: message.into(), cause: cause.raw_os_error().map(|errno| Cause { errno }) }
    }

    /// The system error number below, where there is one.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.cause.map(|cause| cause.errno)
    }
}

/// Names the step that a system call was part of.
pub(crate) trait Doing<T> {
    /// Turns an error into `failed to <what>`.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StartFailure>;
}

impl<T, E: Into<std::io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StartFailure> {
        self.map_err(|error| {
            let error: std::io::Error = error.into();
            let mut message = format!("failed to {}", what());
            if error.raw_os_error().is_none() {
                // An error of the standard library without a number behind it would lose its text on the way.
                message = format!("{message}: {error}");
            }
            StartFailure::with(FailureKind::Setup, message, &error)
        })
    }
}
