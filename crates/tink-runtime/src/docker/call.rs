//! What Docker's daemon says of a call that failed.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;

use crate::call::{Kind, within};
pub(super) use crate::call::{LONG, SHORT};

/// How a call failed.
pub(super) type Failure = crate::call::Failure<FailureKind>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The daemon answered with this HTTP status.
    Status(u16),
    /// The daemon reported the error inside a stream that had begun well.
    InStream,
    /// No answer, or half of one: the daemon is away, restarts or hangs.
    Unreachable,
}

impl Kind for FailureKind {
    const ENGINE: &'static str = "docker";
    const UNREACHABLE: Self = Self::Unreachable;

    /// What the daemon refuses stays refused.
    fn may_pass(&self) -> bool {
        match self {
            // Conflicts are with something the daemon is doing right now; it asks for patience itself with 429.
            Self::Status(409 | 429) => true,
            Self::Status(status) => *status >= 500,
            Self::InStream | Self::Unreachable => true,
        }
    }
}

impl Failure {
    pub(super) fn has_status(&self, status: u16) -> bool {
        self.kind == FailureKind::Status(status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self { kind: FailureKind::Status(status_code), message: message.trim_end().to_owned() }
            }
            Error::DockerStreamError { error } => Self { kind: FailureKind::InStream, message: error },
            Error::RequestTimeoutError => Self::unreachable("docker did not answer in time"),
            Error::SocketNotFoundError(socket) => Self::unreachable(format!("there is no socket {socket}")),
            // The libraries below say the interesting part (`connection refused`) in the last cause.
            other => Self::unreachable(tink_error::chain(&other)),
        }
    }
}

/// Carries a call out within `deadline`.
pub(super) async fn call<T>(deadline: Duration, request: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    within(deadline, request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    fn retryable(kind: FailureKind) -> bool {
        Failure { kind, message: String::new() }.into_error(Operation::Start, "c").is_retryable()
    }

    #[test]
    fn what_the_daemon_refuses_stays_refused() {
        assert!(!retryable(FailureKind::Status(400)));
        assert!(!retryable(FailureKind::Status(404)));
        assert!(retryable(FailureKind::Status(409)));
        assert!(retryable(FailureKind::Status(503)));
        assert!(retryable(FailureKind::Unreachable));
    }
}
