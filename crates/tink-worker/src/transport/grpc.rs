//! gRPC: one channel, and one module per generation of the wire.

mod connect;
mod proxy;
mod status;
mod target;
mod tls;
pub mod v2025;

use std::path::PathBuf;
use std::time::Duration;

pub use connect::GrpcError;
pub use proxy::Proxy;
pub use target::{Target, TargetError};

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct GrpcSettings {
    /// `host:port`.
    pub server: String,
    /// Whether TLS is used; plaintext is today's default.
    pub tls: bool,
    /// Whether the server's certificate is taken unseen.
    pub insecure_tls: bool,
    /// Certificate authorities beside the system's and the built-in ones, PEM.
    pub ca_file: Option<PathBuf>,
    /// The proxy between here and there.
    pub proxy: Proxy,
    /// For the connection: name lookup, TCP, TLS.
    pub connect_timeout: Duration,
    /// For a request for work. Upstream's server holds it for up to 60 s, ours for as long as this allows.
    pub next_timeout: Duration,
    /// For a report. Upstream's server holds one that it cannot take for up to 60 s.
    pub report_timeout: Duration,
}

impl GrpcSettings {
    /// Plaintext to `server`, no proxy, everything else by default.
    #[must_use]
    pub fn plaintext(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            tls: false,
            insecure_tls: false,
            ca_file: None,
            proxy: Proxy::none(),
            connect_timeout: Duration::from_secs(10),
            next_timeout: Duration::from_secs(90),
            report_timeout: Duration::from_secs(90),
        }
    }
}
