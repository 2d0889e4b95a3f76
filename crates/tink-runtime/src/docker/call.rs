//! One call to the daemon: its deadline and the shape of its failure.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;

use crate::{Operation, RuntimeError};

/// For calls that the daemon answers from memory or with a little disk work.
pub(super) const SHORT: Duration = Duration::from_secs(30);
/// For calls that build or tear down a container: mounts, a network, a big root file system on a slow disk.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// The daemon's own words, or what the connection did.
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The daemon answered with this HTTP status.
    Status(u16),
    /// The daemon reported the error inside a stream that had begun well.
    InStream,
    /// No answer, or half of one: the daemon is away, restarts or hangs.
    Unreachable,
}

impl Failure {
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unreachable, message: message.into() }
    }

    pub(super) fn is_unreachable(&self) -> bool {
        self.kind == FailureKind::Unreachable
    }

    pub(super) fn has_status(&self, status: u16) -> bool {
        self.kind == FailureKind::Status(status)
    }

    /// For calls about a container: what the daemon refuses stays refused, everything else may pass.
    pub(super) fn into_error(self, operation: Operation, subject: impl Into<String>) -> RuntimeError {
        let retryable = match self.kind {
            // Conflicts are with something the daemon is doing right now; it asks for patience itself with 429.
            FailureKind::Status(409 | 429) => true,
            FailureKind::Status(status) => status >= 500,
            FailureKind::InStream | FailureKind::Unreachable => true,
        };
        if retryable {
            RuntimeError::transient(operation, subject, self.message)
        } else {
            RuntimeError::permanent(operation, subject, self.message)
        }
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
            other => Self::unreachable(chain(&other)),
        }
    }
}

/// The error and its sources; the libraries below say the interesting part (`connection refused`) in the last one.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Carries a call out within `deadline`.
pub(super) async fn call<T>(deadline: Duration, request: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, request).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::unreachable(format!("docker did not answer within {} s", deadline.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_at_its_deadline() {
        let failure = call(SHORT, std::future::pending::<Result<(), Error>>()).await.unwrap_err();
        assert_eq!(failure, Failure::unreachable("docker did not answer within 30 s"));
    }
}
