//! What a gRPC status means to a worker.

use std::error::Error;

use tink_proto::v2025::NO_ACTION_AVAILABLE;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::Target;
use crate::Report;
use crate::transport::{Ack, TransportError};

/// Why our server did not take a report that it answered with OK, in the metadata of the answer: an error would end
/// today's Go agents.
const REFUSED: &str = "tink-refused";

/// Whether a refused GetAction says that there is nothing to do now.
///
/// Upstream's servers answer NotFound or a bare FailedPrecondition; its agents also look for a PreconditionFailure
/// detail, whatever the code.
pub(super) fn means_no_work(status: &Status) -> bool {
    if is_local(status) {
        return false;
    }
    matches!(status.code(), Code::NotFound | Code::FailedPrecondition)
        || status
            .get_details_precondition_failure()
            .is_some_and(|detail| detail.violations.iter().any(|violation| violation.r#type == NO_ACTION_AVAILABLE))
}

/// What an answer of OK says of a report.
pub(super) fn acknowledged(answer: &MetadataMap) -> Ack {
    match answer.get(REFUSED) {
        None => Ack::Accepted,
        Some(reason) => Ack::Refused(reason.to_str().unwrap_or("the server does not take it").to_owned()),
    }
}

/// Whether a server that answers a report so will never take it.
///
/// NOT_FOUND is the last word only on an action that is not begun yet: it must not run. A result outlives a server that
/// is empty for a while, since its data is being restored.
pub(super) fn refuses_report(report: &Report, status: &Status) -> bool {
    let refuses = match status.code() {
        Code::NotFound => report.asks_leave(),
        code => matches!(code, Code::InvalidArgument | Code::FailedPrecondition),
    };
    refuses && !is_local(status)
}

/// Statuses that the client made itself, of a broken connection, carry the cause; a server's answer has none.
fn is_local(status: &Status) -> bool {
    status.source().is_some()
}

pub(super) fn error(status: &Status, target: &Target) -> TransportError {
    let server = target.to_string();
    let unreachable =
        is_local(status) || matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded);
    if unreachable {
        TransportError::Unreachable { server, reason: reason(status) }
    } else {
        TransportError::Answered { server, code: format!("{:?}", status.code()), message: status.message().to_owned() }
    }
}

/// The innermost cause says most; the layers above it repeat "transport error".
fn reason(status: &Status) -> String {
    let mut innermost: Option<&(dyn Error + 'static)> = status.source();
    while let Some(next) = innermost.and_then(Error::source) {
        innermost = Some(next);
    }
    match innermost {
        Some(cause) => cause.to_string(),
        None if status.message().is_empty() => format!("{:?}", status.code()),
        None => status.message().to_owned(),
    }
}
