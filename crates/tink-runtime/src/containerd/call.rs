//! What containerd says of a call that failed, and what every call carries: its namespace, its lease.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};

use super::ContainerdRuntime;
use super::lease::Lease;
use crate::call::{Kind, within};
pub(super) use crate::call::{LONG, SHORT};

/// For unpacking a layer: gigabytes, on a slow disk.
pub(super) const UNPACK: Duration = Duration::from_secs(1800);

/// How a call failed.
pub(super) type Failure = crate::call::Failure<FailureKind>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The daemon answered with this code.
    Code(Code),
    /// No answer: the daemon is away, restarts or hangs.
    Unreachable,
}

impl Kind for FailureKind {
    const ENGINE: &'static str = "containerd";
    const UNREACHABLE: Self = Self::Unreachable;

    /// What the daemon says of itself stays so, everything else may pass.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable => true,
            Self::Code(code) => {
                !matches!(code, Code::NotFound | Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied)
            }
        }
    }
}

impl Failure {
    pub(super) fn is(&self, code: Code) -> bool {
        self.kind == FailureKind::Code(code)
    }
}

impl From<Status> for Failure {
    /// What a server says has no source; what the connection did has one.
    fn from(status: Status) -> Self {
        if status.source().is_none() && !matches!(status.code(), Code::Unavailable | Code::Cancelled) {
            return Self { kind: FailureKind::Code(status.code()), message: status.message().to_owned() };
        }
        Self::unreachable(tink_error::with_causes(status.message().to_owned(), &status))
    }
}

/// Carries a call out within `deadline`.
pub(super) async fn call<T>(
    deadline: Duration,
    request: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    within(deadline, request).await.map(Response::into_inner)
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
    use crate::Operation;

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

    #[test]
    fn a_broken_connection_is_no_word_of_the_daemon() {
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert!(Failure::from(broken).is_unreachable());
        assert!(Failure::from(Status::not_found("no container")).is(Code::NotFound));
    }
}
