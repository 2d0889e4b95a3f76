//! The worker's configuration: one [`Config`], from a list of sources in a declared order.
//!
//! | order | source | example |
//! |---|---|---|
//! | 1 | legacy environment | `WORKER_ID`, `TINKERBELL_GRPC_AUTHORITY` |
//! | 2 | flag | `-id x`, `--id=x` |
//! | 3 | environment | `TINK_ID`, `AGENT_ID`; below these `HTTPS_PROXY`, `DOCKER_HOST` and the like |
//! | 4 | kernel command line, with `-from-cmdline` | `worker_id=x`, `tink.runtime=embedded` |
//! | 5 | config file | `tink-worker.yaml` in `/etc/tinkerbell` or `.` |
//! | 6 | default | |
//!
//! The legacy environment wins over flags, as in today's agent: the boot environments in use hand their values over in
//! it, beside flags of their own. A worker without an id, or with a value that cannot be
//! used, ends with [`EXIT_CONFIG`] at once: nothing that happens later can mend it, and a message on the console is found
//! sooner than a worker that asks a server for nothing.
//!
//! An empty variable is unset; `--print-config` shows each value with its source.

mod cmdline;
mod durations;
mod file;
mod flags;
mod layers;
mod print;
mod resolve;
mod settings;

use std::path::PathBuf;
use std::time::Duration;

use tink_runtime::RuntimeChoice;
use tink_workflow::WorkerId;

use crate::Secret;
use crate::transport::grpc::{CertUrl, Protocol, Proxy};

pub use print::{help, nearest};
pub use resolve::{Invocation, Sources, parse, parse_with};

/// Exit code of a bad configuration (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIG: u8 = 64;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, as today's agent writes them.
    Json,
    /// For people.
    Text,
}

/// Everything the worker can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub id: WorkerId,
    /// `host:port` of the server.
    pub grpc_server: String,
    /// Which wire is spoken.
    pub protocol: Protocol,
    /// Whether the server is told what hardware this machine has.
    pub attribute_detection: bool,
    /// Whether TLS is used.
    pub grpc_tls: bool,
    /// Whether the server's certificate is taken unseen.
    pub grpc_insecure_tls: bool,
    /// Where the server's certificate is fetched; TLS is used then, and trusts that one only.
    pub cert_url: Option<CertUrl>,
    /// More certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// Proxies and what is reached without one.
    pub proxy: Proxy,
    /// Proxy variables that other parts of the process read from its environment, and that do not stand there.
    pub proxy_environment: Vec<(&'static str, Secret<String>)>,
    /// Which engine runs the actions.
    pub runtime: RuntimeChoice,
    /// Docker's socket.
    pub docker_socket: PathBuf,
    /// containerd's socket.
    pub containerd_socket: PathBuf,
    /// containerd's namespace.
    pub containerd_namespace: String,
    /// Where the logs of containerd's containers are kept, as nerdctl does.
    pub containerd_data_root: PathBuf,
    /// Where `hosts.toml` files are.
    pub registry_config_path: PathBuf,
    /// The registry the credentials are for, and on the older wires the prefix of every image; empty = none.
    pub registry_name: String,
    /// Registries without TLS, or without a certificate that can be verified.
    pub insecure_registries: Vec<String>,
    /// User at that registry.
    pub registry_user: String,
    /// Password at that registry.
    pub registry_pass: Secret<String>,
    /// Image archives to import at the start.
    pub images: Option<PathBuf>,
    /// The most bytes the embedded runtime keeps of images; 0 = three quarters of what is free without them.
    pub image_bytes_max: u64,
    /// Where the journal is.
    pub state_dir: PathBuf,
    /// On the older wires, `<this>/<workflow id>` is an action's `/workflow`.
    pub workflow_data_dir: PathBuf,
    /// Bytes of workflow data that are sent to a server at most.
    pub workflow_data_bytes_max: u64,
    /// Whether what actions print is written to the worker's own log.
    pub capture_action_logs: bool,
    /// Cap of the pauses between requests and between reports.
    pub backoff_max_interval: Duration,
    /// Between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
    /// Who is sent the log by syslog.
    pub syslog_host: Option<String>,
    /// That host's port.
    pub syslog_port: u16,
    /// The file whose appearance reboots the machine.
    pub reboot_file: Option<PathBuf>,
    /// What then reboots it.
    pub reboot_command: PathBuf,
    /// The machine's instance, for the log.
    pub container_uuid: Option<String>,
    /// 0 = info, 1 and more = debug, 5 and more = trace.
    pub log_level: u8,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What was given and has no effect, for the log.
    pub notes: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such flag.
    #[error("unknown flag {flag}{}; --help lists all flags", hint(.nearest.as_deref()))]
    UnknownFlag {
        /// As it was given.
        flag: String,
        /// What it may have meant.
        nearest: Option<String>,
    },
    /// A flag without its value.
    #[error("flag -{flag} needs a value, as in -{flag}=VALUE; --help lists all flags")]
    MissingValue {
        /// The flag.
        flag: String,
    },
    /// A word that belongs to no flag.
    #[error("unexpected argument {word:?}; the worker takes flags only, --help lists them")]
    Positional {
        /// The word.
        word: String,
    },
    /// A file that cannot be read.
    #[error("failed to read {what} from {path}: {reason}")]
    File {
        /// Which one.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A value that cannot be used.
    #[error("{setting} is {found:?} (from {origin}), which is not {allowed}")]
    Invalid {
        /// The setting.
        setting: String,
        /// Its value, masked where it is secret.
        found: String,
        /// Where it came from.
        origin: String,
        /// What may stand there.
        allowed: String,
    },
    /// A value that must be there.
    #[error("no {setting} is given, and without it the worker can do nothing; {remedy}")]
    Missing {
        /// The setting.
        setting: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean -{name}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
