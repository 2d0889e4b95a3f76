//! What is served over gRPC: one module a protocol, each translating between its messages and the engine.

pub mod admin;
mod contexts;
mod mac;
mod proto_workflow_service;
mod render;
mod status_report;
mod timestamp;
pub mod v2021;
pub mod v2023;
pub mod v2025;

use tonic::Status;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::engine::{Caller, EngineError, Line};

pub use proto_workflow_service::ProtoWorkflowService;

/// What a worker calls its instance in, as metadata of every call.
pub const INSTANCE_METADATA: &str = "tink-worker-instance";

/// Where a call came from, put into its extensions by the listener.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address.
    pub address: std::net::SocketAddr,
    /// The connection.
    pub line: Line,
}

/// Which process calls.
pub fn caller_of<T>(request: &tonic::Request<T>) -> Caller {
    let instance = request.metadata().get(INSTANCE_METADATA).and_then(|value| value.to_str().ok());
    let line = request.extensions().get::<Peer>().map(|peer| peer.line.clone());
    Caller::new(instance, line, &address_of(request))
}

/// The caller's address as text, empty when unknown.
pub fn address_of<T>(request: &tonic::Request<T>) -> String {
    request.extensions().get::<Peer>().map(|peer| peer.address.to_string()).unwrap_or_default()
}

/// Says in an answer that may bring an action how long it stays with a process that is not heard of.
fn note_lease(metadata: &mut MetadataMap, lease: std::time::Duration) {
    if lease.as_secs() > 0 {
        metadata.insert("tink-lease-seconds", lease.as_secs().into());
    }
}

/// Says in an answer that is OK why nothing changed, for those who look.
fn note_refused(metadata: &mut MetadataMap, why: &str) {
    let ascii: String = why.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    if let Ok(value) = MetadataValue::<Ascii>::try_from(ascii) {
        metadata.insert("tink-refused", value);
    }
}

/// What a worker is told of a failure of the engine. The causes are for our log, not for the network.
fn failure(call: &'static str, error: &EngineError) -> Status {
    match error {
        EngineError::NoWorkflow(_) => Status::not_found(error.to_string()),
        EngineError::Refused(_) => Status::failed_precondition(error.to_string()),
        EngineError::Exists(_) => Status::already_exists(error.to_string()),
        EngineError::Contended(_) => Status::unavailable(error.to_string()),
        EngineError::Store(store) => {
            tracing::warn!(call, error = %tink_error::chain(store), "call failed");
            Status::unavailable(store.to_string())
        }
    }
}
