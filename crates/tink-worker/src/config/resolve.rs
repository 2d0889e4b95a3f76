//! From sources to a [`Config`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tink_runtime::RuntimeChoice;
use tink_workflow::WorkerId;

use super::durations::{go_duration, retry_interval};
use super::flags::{self, go_bool};
use super::layers::{self, Layers};
use super::print;
use super::settings::{Kind, SETTINGS, Setting};
use super::{Config, ConfigError, LogFormat};
use crate::Secret;
use crate::transport::grpc::{CertUrl, Protocol, Proxy, Target};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Work.
    Run(Box<Config>),
    /// Print this text and end.
    Print(String),
}

/// A value and where it came from.
#[derive(Clone, Debug)]
struct Value {
    text: String,
    origin: String,
}

struct Resolved {
    values: BTreeMap<&'static str, Value>,
    notes: Vec<String>,
}

/// Where values come from beside the command line.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Where `tink-worker.yaml` and its like are looked for.
    pub config_dirs: &'a [PathBuf],
    /// The kernel command line, where it is asked for and no file is named.
    pub kernel_cmdline: &'a Path,
}

/// Reads the command line (without the program's name) and the environment; no files.
///
/// # Errors
/// [`ConfigError`]; the program ends with [`EXIT_CONFIG`](super::EXIT_CONFIG).
pub fn parse(
    args: impl IntoIterator<Item = String>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, ConfigError> {
    parse_with(args, &Sources { env: &env, config_dirs: &[], kernel_cmdline: Path::new("/proc/cmdline") })
}

/// Reads the command line (without the program's name) and every other source.
///
/// # Errors
/// [`ConfigError`]; the program ends with [`EXIT_CONFIG`](super::EXIT_CONFIG).
pub fn parse_with(args: impl IntoIterator<Item = String>, sources: &Sources<'_>) -> Result<Invocation, ConfigError> {
    let flags = flags::parse(args)?;
    if flags.help {
        return Ok(Invocation::Print(print::help()));
    }
    if flags.version {
        return Ok(Invocation::Print(format!("tink-worker {}\n", env!("CARGO_PKG_VERSION"))));
    }
    let print_config = flags.print_config;
    let resolved = Resolved::new(layers::read(flags, sources)?);
    if print_config {
        return Ok(Invocation::Print(resolved.print()));
    }
    resolved.config().map(|config| Invocation::Run(Box::new(config)))
}

impl Resolved {
    fn new(Layers { layers, mut notes }: Layers) -> Self {
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            let mut found = layers.iter().filter_map(|layer| layer.get(setting.name));
            let Some((text, origin)) = found.next() else { continue };
            if setting.inert && origin != "default" {
                notes.push(format!("{} ({origin}) has no effect: {}", setting.name, setting.help));
            }
            let over = found.find(|(other, other_origin)| other != text && other_origin.starts_with("flag"));
            if let Some((_, flag)) = over {
                notes.push(format!("{origin} wins over {flag}"));
            }
            values.insert(setting.name, Value { text: text.clone(), origin: origin.clone() });
        }
        Self { values, notes }
    }

    /// Every value with its source; secrets masked.
    fn print(&self) -> String {
        let mut text = String::new();
        for setting in SETTINGS.iter().filter(|setting| !setting.inert) {
            let Some(value) = self.values.get(setting.name) else { continue };
            text.push_str(&format!("{} = {}  # {}\n", setting.name, shown(setting, &value.text), value.origin));
        }
        text
    }

    fn value(&self, name: &'static str) -> Value {
        self.values.get(name).cloned().unwrap_or(Value { text: String::new(), origin: "default".to_owned() })
    }

    fn text(&self, name: &'static str) -> String {
        self.value(name).text
    }

    fn path(&self, name: &'static str) -> PathBuf {
        PathBuf::from(self.text(name))
    }

    fn typed<T>(&self, name: &'static str, allowed: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
        let value = self.value(name);
        read(&value.text).ok_or_else(|| invalid(name, value, allowed))
    }

    fn optional_path(&self, name: &'static str) -> Option<PathBuf> {
        Some(self.path(name)).filter(|path| !path.as_os_str().is_empty())
    }

    fn bool(&self, name: &'static str) -> Result<bool, ConfigError> {
        self.typed(name, "true or false", go_bool)
    }

    fn duration(&self, name: &'static str) -> Result<Duration, ConfigError> {
        self.typed(name, "a duration such as 5s or 1m30s", go_duration)
    }

    fn config(self) -> Result<Config, ConfigError> {
        self.typed("transport", "grpc, the only transport there is", |text| {
            text.eq_ignore_ascii_case("grpc").then_some(())
        })?;
        Ok(Config {
            id: self.id()?,
            grpc_server: self.server()?,
            protocol: self.typed("protocol", "auto, 2025, 2023 or 2021", |text| text.parse::<Protocol>().ok())?,
            grpc_tls: self.bool("grpc-tls")?,
            grpc_insecure_tls: self.bool("grpc-insecure-tls")?,
            cert_url: self.cert_url()?,
            ca_file: self.optional_path("ca-file"),
            proxy: self.proxy()?,
            proxy_environment: self.proxy_environment(),
            runtime: self
                .typed("runtime", "auto, docker, containerd or embedded", |text| text.parse::<RuntimeChoice>().ok())?,
            docker_socket: self.path("docker-socket"),
            containerd_socket: self.path("containerd-socket"),
            containerd_namespace: self.text("containerd-namespace"),
            containerd_data_root: self.path("containerd-data-root"),
            registry_config_path: self.path("containerd-registry-config-path"),
            registry_name: self.text("registry-name"),
            insecure_registries: self
                .text("insecure-registries")
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            registry_user: self.text("registry-user"),
            registry_pass: Secret::new(self.text("registry-pass")),
            images: self.optional_path("images"),
            image_bytes_max: self.typed("image-bytes-max", "a number of bytes", |text| text.parse().ok())?,
            state_dir: self.path("state-dir"),
            workflow_data_dir: self.path("workflow-data-dir"),
            workflow_data_bytes_max: self.typed("max-file-size", "a number of bytes", |text| text.parse().ok())?,
            capture_action_logs: self.bool("capture-action-logs")?,
            backoff_max_interval: self.pause()?.max(Duration::from_millis(1)),
            attribute_detection: self.bool("attribute-detection")?,
            stop_grace: self.duration("stop-grace")?,
            syslog_host: Some(self.text("syslog-host")).filter(|host| !host.is_empty()),
            syslog_port: self.typed("syslog-port", "a port", |text| text.parse().ok().filter(|port| *port > 0))?,
            reboot_file: self.optional_path("reboot-file"),
            reboot_command: self.path("reboot-command"),
            container_uuid: Some(self.text("container-uuid")).filter(|uuid| !uuid.is_empty()),
            log_level: self.typed("log-level", "a number from 0 (info) up, or info, debug or trace", level)?,
            log_format: self.typed("log-format", "json or text", |text| match text {
                "json" => Some(LogFormat::Json),
                "text" => Some(LogFormat::Text),
                _ => None,
            })?,
            notes: self.notes,
        })
    }

    fn id(&self) -> Result<WorkerId, ConfigError> {
        let id = self.value("id");
        if id.text.is_empty() {
            return Err(ConfigError::Missing {
                setting: "id",
                remedy: "set -id, AGENT_ID, WORKER_ID, or worker_id= on the kernel command line and -from-cmdline",
            });
        }
        WorkerId::parse(id.text.clone()).map_err(|error| invalid("id", id, &format!("a worker id: {error}")))
    }

    fn server(&self) -> Result<String, ConfigError> {
        let server = self.value("grpc-server");
        if server.text.is_empty() {
            return Err(ConfigError::Missing {
                setting: "grpc-server",
                remedy: "set -grpc-server, AGENT_GRPC_SERVER or TINKERBELL_GRPC_AUTHORITY to the server's host:port, or \
                         grpc_authority= on the kernel command line and -from-cmdline",
            });
        }
        let text = server.text.clone();
        match Target::parse(&text) {
            Ok(_) => Ok(text),
            Err(error) => Err(invalid("grpc-server", server, &format!("host:port: {error}"))),
        }
    }

    fn cert_url(&self) -> Result<Option<CertUrl>, ConfigError> {
        let url = self.value("cert-url");
        let tls = self.value("grpc-tls");
        if url.text.is_empty() || (tls.origin != "default" && go_bool(&tls.text) == Some(false)) {
            return Ok(None);
        }
        let parsed = CertUrl::parse(&url.text);
        parsed.map(Some).map_err(|reason| invalid("cert-url", url, &format!("a URL to fetch from: {reason}")))
    }

    fn proxy(&self) -> Result<Proxy, ConfigError> {
        let get = |name: &str| match name {
            "HTTP_PROXY" => Some(self.text("http-proxy")),
            "HTTPS_PROXY" => Some(self.text("https-proxy")),
            "NO_PROXY" => Some(self.text("no-proxy")),
            _ => None,
        };
        Proxy::from_env(get).map_err(|error| {
            let found = Value { text: "(not shown)".to_owned(), ..self.value("https-proxy") };
            invalid("the proxy", found, &format!("one that can be used: {error}"))
        })
    }

    fn proxy_environment(&self) -> Vec<(&'static str, Secret<String>)> {
        let all = [("HTTP_PROXY", "http-proxy"), ("HTTPS_PROXY", "https-proxy"), ("NO_PROXY", "no-proxy")];
        let elsewhere = |(variable, setting): (&'static str, &'static str)| {
            let value = self.value(setting);
            let there = value.origin.eq_ignore_ascii_case(&format!("environment {variable}"));
            (!there && !value.text.is_empty()).then(|| (variable, Secret::new(value.text)))
        };
        all.into_iter().filter_map(elsewhere).collect()
    }

    /// The longest pause between requests: the older name counts only where the newer one says nothing.
    fn pause(&self) -> Result<Duration, ConfigError> {
        let older = self.value("retry-interval");
        if older.text.is_empty() || self.value("backoff-max-interval").origin != "default" {
            return self.duration("backoff-max-interval");
        }
        self.typed("retry-interval", "a duration such as 3s, or a number of seconds", retry_interval)
    }
}

fn shown(setting: &Setting, text: &str) -> String {
    match setting.kind {
        Kind::Secret if !text.is_empty() => "***".to_owned(),
        // A proxy's password stands before the last @.
        Kind::Proxy => match text.rsplit_once('@') {
            Some((_, address)) => format!("\"***@{address}\""),
            None => format!("{text:?}"),
        },
        Kind::Text | Kind::Path | Kind::Secret => format!("{text:?}"),
        Kind::Bool | Kind::Switch | Kind::Duration | Kind::RetryInterval | Kind::Count | Kind::Level => text.to_owned(),
    }
}

fn invalid(setting: &str, value: Value, allowed: &str) -> ConfigError {
    ConfigError::Invalid {
        setting: setting.to_owned(),
        found: value.text,
        origin: value.origin,
        allowed: allowed.to_owned(),
    }
}

fn level(text: &str) -> Option<u8> {
    match text {
        "info" => Some(0),
        "debug" => Some(1),
        "trace" => Some(5),
        // slog's negative levels are quieter ones, which the agent has no use for either.
        number => number.parse::<i64>().ok().map(|level| u8::try_from(level.clamp(0, 9)).unwrap_or(0)),
    }
}
