//! What is wrong with a configuration.

use std::net::SocketAddr;

/// A configuration that is refused, before anything is opened or bound.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nobody said whether the network may read along.
    #[error(
        "choose how gRPC is served: with TLS (--tls-cert FILE --tls-key FILE), or without, where everybody on the network can read and change everything (--insecure, or TINK_SERVER_INSECURE=true)"
    )]
    NoTls,
    /// One half of a pair.
    #[error("{given} was given without {missing}; TLS needs both")]
    HalfTls {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// Both ways at once.
    #[error("--insecure contradicts --tls-cert and --tls-key; drop one or the other")]
    TlsAndInsecure,
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::serve::tls::TlsError),
    /// Two ports at one address.
    #[error(
        "--grpc-addr and --http-addr are both {addr}; give them different ports, or switch HTTP off with --http-addr off"
    )]
    SameAddress {
        /// The address.
        addr: SocketAddr,
    },
    /// A number out of its range.
    #[error("{flag} is {value}; {min} to {max} is allowed")]
    Range {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// The log cannot be set up.
    #[error("--log-level {found:?} is refused: {why}")]
    LogLevel {
        /// What was given.
        found: String,
        /// Why.
        why: String,
    },
}
