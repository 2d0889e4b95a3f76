//! containerd's gRPC interface (API v1), as far as `tink-runtime` calls it: generated types, nothing else.
//!
//! The .proto files hold the calls and fields that are used, with containerd's own names and numbers; what they leave out
//! is skipped when it arrives, as protobuf means it. Every containerd since 1.0 has all of these, but for the transfer
//! service of 1.7, which is not among them.
//!
//! Limits: no error mapping, no deadlines, no namespace header: those are `tink-runtime`'s.

#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from proto/containerd")]

include!(concat!(env!("OUT_DIR"), "/all.rs"));

pub use containerd::services;
pub use containerd::types;
