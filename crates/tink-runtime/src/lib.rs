//! How an action becomes a container: the [`Runtime`] trait and one module per container engine.
//!
//! [`ContainerSpec`] says once what an action means; each engine translates it. What must be stored to find a
//! container again after a crash of the worker is its [`HandleRecord`]; every call takes the record, none a live handle.

mod error;
mod log;
mod progress;
mod runtime;
mod spec;

pub use error::{Operation, RuntimeError};
pub use log::{LogSink, OutputStream};
pub use progress::{Progress, PullProgress};
pub use runtime::{ExitCause, ExitStatus, HandleRecord, PullOutcome, Recovered, Runtime};
pub use spec::{ContainerSpec, Identity, Purpose};
