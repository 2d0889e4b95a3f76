//! For the package `tink-simulation` alone: the parts of the server that it puts into a world of its own.

pub use crate::engine::{Engine, EngineError, Offered, OpenLine, run_timers};
pub use crate::metrics::Metrics;
pub use crate::services::{Peer, v2025::Agents};
pub use crate::store::memory::{MemoryStore, Weather};
pub use crate::store::{Store, StoredWorkflow, WorkflowFilter};
