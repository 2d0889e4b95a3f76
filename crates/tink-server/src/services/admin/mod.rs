//! The administrators' services, `tink.v1`: what the `tink` CLI speaks. Their contract is in the .proto.

mod attributes;
mod convert;
mod manifest;
mod objects;
mod references;
mod status;
mod watch;
mod workers;
mod workflows;

pub use objects::Objects;
pub use references::References;
pub use workers::Workers;
pub use workflows::Workflows;
