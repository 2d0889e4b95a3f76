//! The server of tink: keeps workflows, hands their actions to workers, and takes their reports.
//!
//! ```text
//! services (gRPC: agents of today, administrators)  ─►  engine (tink_workflow::step, wakes held calls)  ─►  store (SQLite)
//! ```
//!
//! It runs as `tink-server`, or inside another program:
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let running = tink_server::start(tink_server::Config::embedded()).await.unwrap();
//! println!("gRPC at {}", running.grpc_addr());
//! running.shutdown().await;
//! # });
//! ```
//!
//! # Promises
//! - What was acknowledged is on disk.
//! - A result that stands never changes; a late, repeated or contradicting report is answered and harms nothing.
//! - No client can stop it: input is bounded and checked, a panic fails one call.
//!
//! # Limits
//! It does not authenticate workers or administrators yet, runs as one process over one file, and does not drive a BMC.

mod clock;
mod config;
mod engine;
mod logging;
mod metrics;
pub mod program;
mod serve;
mod services;
#[cfg(feature = "simulation")]
pub mod simulation;
mod start;
mod store;

pub use clock::{Clock, SystemClock};
pub use config::{Authority, Config, ConfigError, Gateway, Listen, LogFormat, Password, Truth};
pub use logging::init_logging;
pub use start::{Running, StartError, start, start_with_clock};
pub use store::StoreError;
pub use store::sqlite::Place;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `text`, or something else where it is empty.
fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// The beginning of `text`, at most `bytes` long, cut between characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
