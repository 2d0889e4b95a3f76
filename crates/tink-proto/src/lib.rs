//! The wire: generated types of every generation of the protocol, nothing else.
//!
//! | module | package | spoken by |
//! |---|---|---|
//! | [`v2025`] | `proto` | today's agents and servers (tinkerbell/tinkerbell) |
//! | [`admin`] | `tink.v1` | the tink CLI and tink-server |
//!
//! Everything inside the house speaks `tink-workflow` types; only the module of a generation knows its messages.

/// Today's agents: `proto.WorkflowService` with GetAction and ReportActionStatus.
pub mod v2025 {
    #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/v2025/workflow.proto")]
    tonic::include_proto!("proto");

    /// Descriptors for server reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/workflow.proto.bin"));

    /// The violation type that tells an agent to ask again later.
    pub const NO_ACTION_AVAILABLE: &str = "PRECONDITION_FAILURE_VIOLATION_NO_ACTION_AVAILABLE";
}

/// The administrators' services: objects, workflows, workers.
pub mod admin {
    #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/admin/tink.proto")]
    tonic::include_proto!("tink.v1");

    /// Descriptors for server reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tink.proto.bin"));
}
