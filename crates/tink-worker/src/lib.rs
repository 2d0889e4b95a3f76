//! The worker: takes actions from a server and runs each as a container.
//!
//! An action travels one way: [`Transport`] → [`Assignment`] → [`Journal`] → [`executor`](ExecutorSettings) →
//! [`Runtime`](tink_runtime::Runtime) → journal → reporter → transport. The journal is the only thing that is
//! remembered: a worker that is killed at any moment takes up, after its next start, what it finds there.
//!
//! ```no_run
//! # async fn example(runtime: std::sync::Arc<dyn tink_runtime::Runtime>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use tink_worker::{CancellationToken, Settings, Worker, transport::grpc};
//!
//! let id = tink_workflow::WorkerId::parse("02:00:00:00:00:01")?;
//! let transport = grpc::v2025::Transport2025::new(&grpc::GrpcSettings::plaintext("127.0.0.1:42113"), id.clone())?;
//! let worker = Worker::new(Settings::new(id, "/var/lib/tink-worker"), Arc::new(transport), runtime)?;
//! let stop = CancellationToken::new();
//! worker.run(stop).await;
//! # Ok(()) }
//! ```
//!
//! Limits: one action at a time, as the protocol has it.

mod assignment;
mod backoff;
mod clock;
pub mod config;
#[cfg(test)]
mod doubles;
mod events;
mod executor;
pub mod install;
pub mod instance;
mod journal;
mod leaves;
pub mod logging;
mod random;
pub mod reboot;
mod report;
mod reporter;
mod secret;
pub mod state_dir;
mod syslog;
pub mod transport;
mod worker;

pub use assignment::{Assignment, Begun};
pub use backoff::Backoff;
pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use events::{EventStream, Events, Observer, WorkerEvent, event_channel};
pub use executor::ExecutorSettings;
pub use journal::{Disk, DiskFile, Journal, JournalError, JournalLimits, RealDisk};
#[cfg(feature = "simulation")]
pub use random::seeded;
pub use report::Report;
pub use secret::{Redactor, Secret};
pub use syslog::Syslog;
pub use tink_error::chain as error_chain;
pub use tink_workflow::human_duration;
pub use tokio_util::sync::CancellationToken;
pub use transport::{Ack, Next, Transport, TransportError};
pub use worker::{Ended, Idle, Settings, Worker};
