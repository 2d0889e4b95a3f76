//! gRPC: one channel, and one module per generation of the wire.

mod auto;
mod cert_url;
mod connect;
mod hardware;
mod instance;
mod pinned;
mod polling;
mod polling_wire;
mod proxy;
mod status;
mod target;
mod tls;
pub mod v2021;
pub mod v2023;
pub mod v2025;

use std::path::PathBuf;
use std::time::Duration;

pub use auto::{GrpcTransport, Protocol, UnknownProtocol, Year};
pub use cert_url::CertUrl;
pub use connect::GrpcError;
pub use hardware::Hardware;
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
    /// Where the server's certificate is fetched before each connection; TLS is used then, and trusts that one only.
    pub cert_url: Option<CertUrl>,
    /// Certificate authorities beside the system's and the built-in ones, PEM.
    pub ca_file: Option<PathBuf>,
    /// The proxy between here and there.
    pub proxy: Proxy,
    /// For the connection: name lookup, TCP, TLS.
    pub connect_timeout: Duration,
    /// For a request for work. Upstream's server holds it for up to 60 s, ours for as long as this allows.
    pub next_timeout: Duration,
    /// Which process this is, as metadata `tink-worker-instance` of every call; empty = none is sent. A server that knows
    /// it gives an action to one process only.
    pub instance: String,
    /// What is sent of the machine with each request for work, by the wire of 2025; `None` = nothing is.
    pub hardware: Option<Hardware>,
    /// For a report. Upstream's server holds one that it cannot take for up to 60 s.
    pub report_timeout: Duration,
    /// What only the wires of 2021 and 2023 need.
    pub polling: PollingSettings,
}

/// How actions of the wires of 2021 and 2023 are run, which leave that to the worker.
#[derive(Clone, Debug)]
pub struct PollingSettings {
    /// Put before the image of every action; empty = none.
    pub registry: String,
    /// `<this>/<workflow id>` is an action's `/workflow`. Where the engine runs beside the worker and not in it, the
    /// path must mean the same to both.
    pub data_dir: PathBuf,
    /// Bytes of workflow data that are sent at most.
    pub data_bytes_max: u64,
    /// Whether actions get a terminal, as they did from workers that captured their output.
    pub tty: bool,
}

impl Default for PollingSettings {
    fn default() -> Self {
        Self {
            registry: String::new(),
            data_dir: PathBuf::from("/worker"),
            data_bytes_max: 10 * 1024 * 1024,
            tty: true,
        }
    }
}

impl GrpcSettings {
    /// Plaintext to `server`, no proxy, everything else by default.
    #[must_use]
    pub fn plaintext(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            tls: false,
            insecure_tls: false,
            cert_url: None,
            ca_file: None,
            proxy: Proxy::none(),
            connect_timeout: Duration::from_secs(10),
            instance: String::new(),
            hardware: None,
            next_timeout: Duration::from_secs(90),
            report_timeout: Duration::from_secs(90),
            polling: PollingSettings::default(),
        }
    }

    /// Whether connections are encrypted.
    fn uses_tls(&self) -> bool {
        self.tls || self.cert_url.is_some()
    }
}
