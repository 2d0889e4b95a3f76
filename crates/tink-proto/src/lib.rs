//! The wire: generated types of every generation of the protocol, nothing else.
//!
//! | module | package | spoken by |
//! |---|---|---|
//! | [`v2025`] | `proto` | today's agents and servers (tinkerbell/tinkerbell) |
//! | [`v2023`] | `proto` | tink v0.9 to v0.12: the same package and service with other calls |
//! | [`v2021`] | `github.com.tinkerbell.tink.protos.*` | tink v0.2 to v0.8, and its CLI |
//! | [`admin`] | `tink.v1` | the tink CLI and tink-server |
//!
//! Everything inside the house speaks `tink-workflow` types; only the module of a generation knows its messages.

/// The descriptors of every service, for server reflection: one `FileDescriptorSet`. The service that 2023 and 2025 call by the
/// same name is there once, with the calls of both.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Today's agents: `proto.WorkflowService` with GetAction and ReportActionStatus.
pub mod v2025 {
    #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/v2025/workflow.proto")]
    include!(concat!(env!("OUT_DIR"), "/v2025/proto.rs"));

    /// The violation type that tells an agent to ask again later.
    pub const NO_ACTION_AVAILABLE: &str = "PRECONDITION_FAILURE_VIOLATION_NO_ACTION_AVAILABLE";
}

/// The workers of tink v0.9 to v0.12: `proto.WorkflowService` with contexts and action lists.
pub mod v2023 {
    #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/v2023/workflow.proto")]
    include!(concat!(env!("OUT_DIR"), "/v2023/proto.rs"));
}

/// Workers, CLI and servers of tink v0.2 to v0.8, a module a package.
pub mod v2021 {
    /// Workflows, and all calls of workers.
    pub mod workflow {
        #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/v2021/workflow.proto")]
        include!(concat!(env!("OUT_DIR"), "/v2021/github.com.tinkerbell.tink.protos.workflow.rs"));
    }

    /// Templates.
    pub mod template {
        #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/v2021/template.proto")]
        include!(concat!(env!("OUT_DIR"), "/v2021/github.com.tinkerbell.tink.protos.template.rs"));
    }

    /// Hardware.
    pub mod hardware {
        #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/v2021/hardware.proto")]
        include!(concat!(env!("OUT_DIR"), "/v2021/github.com.tinkerbell.tink.protos.hardware.rs"));
    }

    /// What became of hardware, templates and workflows.
    pub mod events {
        #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/v2021/events.proto")]
        include!(concat!(env!("OUT_DIR"), "/v2021/github.com.tinkerbell.tink.protos.events.rs"));
    }
}

/// The administrators' services: objects, workflows, workers.
pub mod admin {
    #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/admin/tink.proto")]
    include!(concat!(env!("OUT_DIR"), "/admin/tink.v1.rs"));
}
