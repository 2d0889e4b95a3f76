//! Everything that can be set, in one struct. Sources in order: flag, environment, default.

mod error;
mod older;
mod print;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, FromArgMatches, Parser};

use crate::store::sqlite::Place;

pub use error::ConfigError;
pub use older::{Authority, Password, Truth};
pub use values::{Gateway, Listen, LogFormat};

/// Longest hold that is accepted: proxies and agents in between give up on calls that say nothing for long.
const HOLD_MAX: Duration = Duration::from_secs(10 * 60);
/// Longest lease that is accepted: a machine that died and came back without its state waits for so long.
const LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Smallest message limit: below it, an agent's attributes do not fit.
const MESSAGE_BYTES_MIN: usize = 64 * 1024;

/// Keeps workflows, hands their actions to workers, and takes their reports.
#[derive(Clone, Debug, Parser)]
#[command(name = "tink-server", version, max_term_width = 110)]
pub struct Config {
    /// Address of the gRPC port, for workers and the tink CLI
    #[arg(long, env = "TINK_SERVER_GRPC_ADDR", value_name = "IP:PORT", default_value = "0.0.0.0:42113")]
    pub grpc_addr: SocketAddr,

    /// Address of the HTTP port (/healthz, /readyz, /metrics, /version; /cert with TLS), or `off`
    #[arg(long, env = "TINK_SERVER_HTTP_ADDR", value_name = "IP:PORT", default_value = "0.0.0.0:42114")]
    pub http_addr: Listen,

    /// The data file; `temporary` keeps everything only until the server stops
    #[arg(long, env = "TINK_SERVER_DATA", value_name = "FILE", default_value = "/var/lib/tink/tink.db")]
    pub data: Place,

    /// Certificate of the gRPC port and its intermediates, PEM; read again on SIGHUP
    #[arg(long, env = "TINK_SERVER_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(long, env = "TINK_SERVER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Serve gRPC without TLS: everybody on the network can read and change everything
    #[arg(long, env = "TINK_SERVER_INSECURE", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, value_name = "true|false")]
    pub insecure: bool,

    /// Give templates the objects that spec.references of their Hardware names: any hardware, template or workflow of this
    /// server, in any namespace. All or nothing: the allow and deny lists of Tinkerbell's controller are not supported
    #[arg(long, env = "TINK_SERVER_ALLOW_REFERENCES", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, value_name = "true|false")]
    pub allow_references: bool,

    /// How long a worker's call is held open when there is no work
    #[arg(long, env = "TINK_SERVER_HOLD", value_name = "DURATION", default_value = "50s", value_parser = values::duration)]
    pub hold: Duration,

    /// How long an action stays with the worker process that has it after the last sign of life: an open connection, a call.
    /// Only then another process with the same worker id gets it. Processes that name no instance (today's Go agent) keep
    /// it for as long as their connection is open
    #[arg(long, env = "TINK_SERVER_LEASE", value_name = "DURATION", default_value = "60s", value_parser = values::duration)]
    pub lease: Duration,

    /// How long a stop waits for calls to finish
    #[arg(long, env = "TINK_SERVER_SHUTDOWN_GRACE", value_name = "DURATION", default_value = "5s",
          value_parser = values::duration)]
    pub shutdown_grace: Duration,

    /// Bytes of a gRPC message that are accepted
    #[arg(long, env = "TINK_SERVER_MESSAGE_BYTES_MAX", value_name = "BYTES", default_value = "4194304")]
    pub message_bytes_max: usize,

    /// gRPC connections at once; more wait
    #[arg(long, env = "TINK_SERVER_CONNECTIONS_MAX", value_name = "COUNT", default_value = "10000")]
    pub connections_max: usize,

    /// Newest events kept of each workflow
    #[arg(long, env = "TINK_SERVER_EVENTS_PER_WORKFLOW", value_name = "COUNT", default_value = "2000")]
    pub events_per_workflow: u32,

    /// Newest events kept in all
    #[arg(long, env = "TINK_SERVER_EVENTS_TOTAL", value_name = "COUNT", default_value = "200000")]
    pub events_total: u32,

    /// Newest versions of a workflow's data (`tink workflow data` of 2021) that are kept
    #[arg(long, env = "MAX_WORKFLOW_DATA_VERSIONS", value_name = "COUNT", default_value = "3")]
    pub data_versions: u32,

    /// Serve the HTTP calls of tink-server of 2021 (/v1/hardware, /v1/templates, /v1/workflows) at the HTTP port: on, off, or
    /// auto, which is on with --insecure or with a user name or password (TINK_AUTH_PASSWORD), and off otherwise
    #[arg(long, env = "TINK_SERVER_HTTP_GATEWAY", value_name = "MODE", default_value = "auto")]
    pub http_gateway: Gateway,

    /// User name that /v1 asks for; its password is taken from TINK_AUTH_PASSWORD
    #[arg(long, env = "TINK_AUTH_USERNAME", value_name = "NAME")]
    pub http_username: Option<String>,

    /// TINK_AUTH_PASSWORD. No flag: command lines can be read by everybody on the machine.
    #[arg(skip)]
    pub http_password: Option<Password>,

    /// As --grpc-addr, by the name it had in tink-server of 2021 to 2024
    #[arg(long, env = "TINKERBELL_GRPC_AUTHORITY", value_name = "HOST:PORT", help_heading = "Older names")]
    pub grpc_authority: Option<Authority>,

    /// As --http-addr
    #[arg(long, env = "TINKERBELL_HTTP_AUTHORITY", value_name = "HOST:PORT", help_heading = "Older names")]
    pub http_authority: Option<Authority>,

    /// A directory with bundle.pem and server-key.pem, as --tls-cert and --tls-key
    #[arg(long, env = "TINKERBELL_CERTS_DIR", value_name = "DIRECTORY", help_heading = "Older names", value_parser = older::path)]
    pub cert_dir: Option<PathBuf>,

    /// As --cert-dir /certs/NAME, if that is there
    #[arg(long, env = "FACILITY", value_name = "NAME", help_heading = "Older names")]
    pub facility: Option<String>,

    /// false is --insecure
    #[arg(long, env = "TINKERBELL_TLS", value_name = "true|false", help_heading = "Older names",
          value_parser = older::truth)]
    pub tls: Option<Truth>,

    /// The certificate of a proxy that ends TLS, PEM, for /cert; implies --insecure
    #[arg(long, env = "TINKERBELL_TLS_CERT", value_name = "PEM", hide_env_values = true, help_heading = "Older names")]
    pub cert_pem: Option<String>,

    /// Form of the log: auto (text on a terminal, else json), text or json
    #[arg(long, env = "TINK_SERVER_LOG_FORMAT", value_name = "FORMAT", default_value = "auto")]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a filter as RUST_LOG takes it
    #[arg(long, env = "RUST_LOG", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// Print every setting with its value and source, and end
    #[arg(long)]
    pub print_config: bool,
}

impl Config {
    /// For a server inside another program: loopback, free ports, plaintext, nothing kept, references given.
    pub fn embedded() -> Self {
        Self {
            grpc_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            http_addr: Listen::At(SocketAddr::from(([127, 0, 0, 1], 0))),
            data: Place::Temporary,
            tls_cert: None,
            tls_key: None,
            insecure: true,
            allow_references: true,
            hold: Duration::from_secs(50),
            lease: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
            message_bytes_max: 4 * 1024 * 1024,
            connections_max: 10_000,
            events_per_workflow: 2000,
            events_total: 200_000,
            data_versions: 3,
            http_gateway: Gateway::Auto,
            http_username: None,
            http_password: None,
            grpc_authority: None,
            http_authority: None,
            cert_dir: None,
            facility: None,
            tls: None,
            cert_pem: None,
            log_format: LogFormat::Auto,
            log_level: "info".to_owned(),
            print_config: false,
        }
    }

    /// The configuration that arguments and environment ask for, older names included.
    ///
    /// # Errors
    /// As clap: a value that is none of its flag's.
    pub fn from_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut config = Self::from_arg_matches(matches)?;
        config.take_older(matches, std::env::var_os("TINK_AUTH_PASSWORD"));
        Ok(config)
    }

    /// Whether `/v1` is served.
    pub fn serves_gateway(&self) -> bool {
        match self.http_gateway {
            Gateway::On => true,
            Gateway::Off => false,
            Gateway::Auto => self.insecure || self.http_username.is_some() || self.http_password.is_some(),
        }
    }

    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// [`ConfigError`] names the flag, the value and what to do.
    pub fn check(&self) -> Result<(), ConfigError> {
        match (&self.tls_cert, &self.tls_key, self.insecure) {
            (Some(_), Some(_), true) => return Err(ConfigError::TlsAndInsecure),
            (Some(_), Some(_), false) | (None, None, true) => {}
            (None, None, false) => return Err(ConfigError::NoTls),
            (Some(_), None, _) => return Err(ConfigError::HalfTls { given: "--tls-cert", missing: "--tls-key" }),
            (None, Some(_), _) => return Err(ConfigError::HalfTls { given: "--tls-key", missing: "--tls-cert" }),
        }
        if let Listen::At(http) = self.http_addr
            && http == self.grpc_addr
            && http.port() != 0
        {
            return Err(ConfigError::SameAddress { addr: http });
        }
        let range = |flag, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) { Ok(()) } else { Err(ConfigError::Range { flag, value, min, max }) }
        };
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        range("--hold (in seconds)", self.hold.as_secs(), 0, HOLD_MAX.as_secs())?;
        range("--lease (in seconds)", self.lease.as_secs(), 0, LEASE_MAX.as_secs())?;
        range("--shutdown-grace (in seconds)", self.shutdown_grace.as_secs(), 0, 600)?;
        range("--message-bytes-max", count(self.message_bytes_max), count(MESSAGE_BYTES_MIN), 1 << 30)?;
        range("--connections-max", count(self.connections_max), 1, 1_000_000)?;
        range("--data-versions", self.data_versions.into(), 1, 100)?;
        range("--events-per-workflow", self.events_per_workflow.into(), 10, 1_000_000)?;
        range("--events-total", self.events_total.into(), 1000, 100_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Config {
        Config::try_parse_from([&["tink-server"], args].concat()).unwrap()
    }

    #[test]
    fn plaintext_must_be_asked_for_and_the_error_names_both_ways() {
        let error = parse(&[]).check().unwrap_err().to_string();
        assert!(error.contains("--tls-cert") && error.contains("--insecure"), "{error}");
        parse(&["--insecure"]).check().unwrap();
        parse(&["--insecure=true"]).check().unwrap();
        parse(&["--tls-cert", "c", "--tls-key", "k"]).check().unwrap();
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(matches!(parse(&["--tls-cert", "c"]).check(), Err(ConfigError::HalfTls { missing: "--tls-key", .. })));
        let both = parse(&["--tls-cert", "c", "--tls-key", "k", "--insecure"]);
        assert!(matches!(both.check(), Err(ConfigError::TlsAndInsecure)));
        let same = parse(&["--insecure", "--http-addr", "0.0.0.0:42113"]);
        assert!(matches!(same.check(), Err(ConfigError::SameAddress { .. })));
        let tiny = parse(&["--insecure", "--message-bytes-max", "1"]);
        assert!(matches!(tiny.check(), Err(ConfigError::Range { flag: "--message-bytes-max", .. })));
    }

    #[test]
    fn the_gateway_is_open_only_where_grpc_is_or_where_a_password_guards_it() {
        assert!(parse(&["--insecure"]).serves_gateway());
        assert!(!parse(&["--insecure", "--http-gateway", "off"]).serves_gateway());
        let tls = ["--tls-cert", "c", "--tls-key", "k"];
        assert!(!parse(&tls).serves_gateway());
        assert!(parse(&[&tls[..], &["--http-gateway", "on"]].concat()).serves_gateway());
        assert!(parse(&[&tls[..], &["--http-username", "u"]].concat()).serves_gateway());
    }

    #[test]
    fn the_embedded_configuration_has_the_defaults_of_the_program() {
        let (program, embedded) = (parse(&["--insecure"]), Config::embedded());
        embedded.check().unwrap();
        assert_eq!(
            (program.hold, program.lease, program.shutdown_grace, program.message_bytes_max, program.connections_max),
            (
                embedded.hold,
                embedded.lease,
                embedded.shutdown_grace,
                embedded.message_bytes_max,
                embedded.connections_max
            )
        );
        assert_eq!(
            (program.events_per_workflow, program.events_total),
            (embedded.events_per_workflow, embedded.events_total)
        );
    }
}
