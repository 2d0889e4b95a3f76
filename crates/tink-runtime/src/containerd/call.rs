//! One call to the daemon: its namespace, its deadline and the shape of its failure.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};

use super::ContainerdRuntime;
use super::lease::Lease;
use crate::{Operation, RuntimeError};

/// For calls that the daemon answers from memory or with a little disk work.
pub(super) const SHORT: Duration = Duration::from_secs(30);
/// For calls that build or tear down a container, or unpack a layer on a slow disk.
pub(super) const LONG: Duration = Duration::from_secs(120);
/// For unpacking a layer: gigabytes, on a slow disk.
pub(super) const UNPACK: Duration = Duration::from_secs(1800);

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// The daemon's own words, or what the connection did.
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The daemon answered with this code.
    Code(Code),
    /// No answer: the daemon is away, restarts or hangs.
    Unreachable,
}

impl Failure {
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unreachable, message: message.into() }
    }

    pub(super) fn is_unreachable(&self) -> bool {
        self.kind == FailureKind::Unreachable
    }

    pub(super) fn is(&self, code: Code) -> bool {
        self.kind == FailureKind::Code(code)
    }

    /// For calls about a container: what the daemon says of itself stays so, everything else may pass.
    pub(super) fn into_error(self, operation: Operation, subject: impl Into<String>) -> RuntimeError {
        let permanent = match self.kind {
            FailureKind::Unreachable => false,
            FailureKind::Code(code) => {
                matches!(code, Code::NotFound | Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied)
            }
        };
        if permanent {
            RuntimeError::permanent(operation, subject, self.message)
        } else {
            RuntimeError::transient(operation, subject, self.message)
        }
    }
}

impl From<Status> for Failure {
    /// What a server says has no source; what the connection did has one.
    fn from(status: Status) -> Self {
        if status.source().is_none() && !matches!(status.code(), Code::Unavailable | Code::Cancelled) {
            return Self { kind: FailureKind::Code(status.code()), message: status.message().to_owned() };
        }
        let mut text = status.message().to_owned();
        let mut source = status.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self::unreachable(text)
    }
}

/// Carries a call out within `deadline`.
pub(super) async fn call<T>(
    deadline: Duration,
    request: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, request).await {
        Ok(answer) => answer.map(Response::into_inner).map_err(Failure::from),
        Err(_) => Err(Failure::unreachable(format!("containerd did not answer within {} s", deadline.as_secs()))),
    }
}

/// An answer where "there is none" is one.
pub(super) fn or_none<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.is(Code::NotFound) => Ok(None),
        Err(failure) => Err(failure),
    }
}

impl ContainerdRuntime {
    /// A request in our namespace.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Ok(namespace) = MetadataValue::try_from(self.namespace.as_str()) {
            request.metadata_mut().insert("containerd-namespace", namespace);
        }
        request
    }

    /// A request whose results are kept from the garbage collector by a lease.
    pub(super) fn leased<T>(&self, lease: &Lease, message: T) -> Request<T> {
        let mut request = self.request(message);
        if let Ok(id) = MetadataValue::try_from(lease.id()) {
            request.metadata_mut().insert("containerd-lease", id);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retryable(kind: FailureKind) -> bool {
        Failure { kind, message: String::new() }.into_error(Operation::Start, "c").is_retryable()
    }

    #[test]
    fn what_the_daemon_says_of_a_container_stays_so() {
        assert!(!retryable(FailureKind::Code(Code::NotFound)));
        assert!(!retryable(FailureKind::Code(Code::InvalidArgument)));
        assert!(retryable(FailureKind::Code(Code::FailedPrecondition)));
        assert!(retryable(FailureKind::Code(Code::Unknown)));
        assert!(retryable(FailureKind::Unreachable));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_at_its_deadline() {
        let failure = call(SHORT, std::future::pending::<Result<Response<()>, Status>>()).await.unwrap_err();
        assert_eq!(failure, Failure::unreachable("containerd did not answer within 30 s"));
    }

    #[test]
    fn a_broken_connection_is_no_word_of_the_daemon() {
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert!(Failure::from(broken).is_unreachable());
        assert!(Failure::from(Status::not_found("no container")).is(Code::NotFound));
    }
}
