//! From sources to a [`Config`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tink_runtime::RuntimeChoice;
use tink_workflow::WorkerId;

use super::flags::{self, Flags, go_bool};
use super::print;
use super::settings::{Kind, SETTINGS, Setting};
use super::{Config, ConfigError, LogFormat};
use crate::Secret;
use crate::transport::grpc::{Proxy, Target};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Work.
    Run(Box<Config>),
    /// Print this text and end.
    Print(String),
}

/// One source's values, by setting: text, and the name it was found under.
type Layer = BTreeMap<&'static str, (String, String)>;

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

/// Reads the command line (without the program's name) and the environment.
///
/// # Errors
/// [`ConfigError`]; the program ends with [`EXIT_CONFIG`](super::EXIT_CONFIG).
pub fn parse(
    args: impl IntoIterator<Item = String>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, ConfigError> {
    let flags = flags::parse(args)?;
    if flags.help {
        return Ok(Invocation::Print(print::help()));
    }
    if flags.version {
        return Ok(Invocation::Print(format!("tink-worker {}\n", env!("CARGO_PKG_VERSION"))));
    }
    let print_config = flags.print_config;
    let resolved = Resolved::new(flags, &env);
    if print_config {
        return Ok(Invocation::Print(resolved.print()));
    }
    resolved.config(&env).map(|config| Invocation::Run(Box::new(config)))
}

impl Resolved {
    fn new(flags: Flags, env: &impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| env(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut notes = Vec::new();
        let (mut legacy, mut environment, mut default) = (Layer::new(), Layer::new(), Layer::new());
        for setting in SETTINGS {
            for name in setting.old_env {
                let Some(text) = set(name) else { continue };
                if setting.kind == Kind::Bool && go_bool(&text).is_none() {
                    notes.push(format!("{name} is {text:?}, neither true nor false, and is ignored"));
                    continue;
                }
                legacy.insert(setting.name, (text, format!("legacy environment {name}")));
            }
            let found = setting.env_names().into_iter().find_map(|name| set(&name).map(|text| (text, name)));
            if let Some((text, name)) = found {
                environment.insert(setting.name, (text, format!("environment {name}")));
            }
            default.insert(setting.name, (setting.default.to_owned(), "default".to_owned()));
        }
        // First come, first served. Further sources go into this list.
        let layers = [legacy, flags.values, environment, default];
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

    fn config(self, env: &impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let id = self.value("id");
        if id.text.is_empty() {
            return Err(ConfigError::Missing {
                setting: "id",
                remedy: "set -id, AGENT_ID, WORKER_ID or worker_id= on the kernel command line of the boot environment",
            });
        }
        let id =
            WorkerId::parse(id.text.clone()).map_err(|error| invalid("id", id, &format!("a worker id: {error}")))?;
        let server = self.value("grpc-server");
        if server.text.is_empty() {
            return Err(ConfigError::Missing {
                setting: "grpc-server",
                remedy: "set -grpc-server, AGENT_GRPC_SERVER or TINKERBELL_GRPC_AUTHORITY to the server's host:port",
            });
        }
        Target::parse(&server.text).map_err(|error| invalid("grpc-server", server, &format!("host:port: {error}")))?;
        self.typed("transport", "grpc, the only transport there is", |text| {
            text.eq_ignore_ascii_case("grpc").then_some(())
        })?;
        let proxy = Proxy::from_env(env).map_err(|error| {
            let found = Value { text: "(not shown)".to_owned(), origin: "environment HTTPS_PROXY".to_owned() };
            invalid("the proxy", found, &format!("one that can be used: {error}"))
        })?;
        let bool = |name| self.typed(name, "true or false", go_bool);
        let duration = |name| self.typed(name, "a duration such as 5s or 1m30s", go_duration);
        Ok(Config {
            id,
            grpc_server: self.text("grpc-server"),
            grpc_tls: bool("grpc-tls")?,
            grpc_insecure_tls: bool("grpc-insecure-tls")?,
            ca_file: Some(self.path("ca-file")).filter(|path| !path.as_os_str().is_empty()),
            proxy,
            runtime: self
                .typed("runtime", "auto, docker, containerd or embedded", |text| text.parse::<RuntimeChoice>().ok())?,
            docker_socket: self.path("docker-socket"),
            containerd_socket: self.path("containerd-socket"),
            containerd_namespace: self.text("containerd-namespace"),
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
            images: Some(self.path("images")).filter(|path| !path.as_os_str().is_empty()),
            state_dir: self.path("state-dir"),
            backoff_max_interval: duration("backoff-max-interval")?.max(Duration::from_millis(1)),
            stop_grace: duration("stop-grace")?,
            log_level: self.typed("log-level", "a number from 0 (info) up, or info, debug or trace", level)?,
            log_format: self.typed("log-format", "json or text", |text| match text {
                "json" => Some(LogFormat::Json),
                "text" => Some(LogFormat::Text),
                _ => None,
            })?,
            notes: self.notes,
        })
    }
}

fn shown(setting: &Setting, text: &str) -> String {
    match setting.kind {
        Kind::Secret if !text.is_empty() => "***".to_owned(),
        Kind::Text | Kind::Path | Kind::Secret => format!("{text:?}"),
        Kind::Bool | Kind::Duration | Kind::Level => text.to_owned(),
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

/// Go's `time.ParseDuration`, without a sign: `1h2m3.5s`, `500ms`, `0`.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        nanos += number
            * match &rest[..end] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[end..];
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(nanos / 1e9).ok() }
}
