//! Every setting, once: its names in all sources, its default, what it means.

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Secret,
    Bool,
    Duration,
    Path,
    Level,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Flag name; the environment names are `TINK_` and `AGENT_` with it in upper case.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
    /// Flags of older agents with the same meaning.
    pub(super) old_flags: &'static [&'static str],
    /// Legacy environment; a later one wins over an earlier one.
    pub(super) old_env: &'static [&'static str],
    pub(super) help: &'static str,
    /// Accepted for the sake of existing start scripts, without effect here.
    pub(super) inert: bool,
}

const fn setting(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, kind, default, old_flags: &[], old_env: &[], help, inert: false }
}

const fn inert(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, kind, default, old_flags: &[], old_env: &[], help, inert: true }
}

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        old_env: &["ID", "WORKER_ID"],
        ..setting("id", Kind::Text, "", "who this worker is: a MAC address or any name the server's workflows use")
    },
    Setting {
        old_flags: &["tinkerbell-grpc-authority"],
        old_env: &["TINKERBELL_GRPC_AUTHORITY"],
        ..setting("grpc-server", Kind::Text, "", "host:port of the server")
    },
    Setting {
        old_flags: &["tinkerbell-tls"],
        old_env: &["TINKERBELL_TLS"],
        ..setting("grpc-tls", Kind::Bool, "false", "use TLS to the server")
    },
    Setting {
        old_flags: &["tinkerbell-insecure-tls"],
        old_env: &["TINKERBELL_INSECURE_TLS"],
        ..setting("grpc-insecure-tls", Kind::Bool, "false", "take the server's certificate unseen")
    },
    setting(
        "ca-file",
        Kind::Path,
        "",
        "certificate authorities of server and registries beside the system's and the built-in ones, PEM",
    ),
    setting("runtime", Kind::Text, "auto", "auto, docker, containerd or embedded"),
    setting("docker-socket", Kind::Path, "/var/run/docker.sock", "Docker's socket"),
    setting("containerd-socket", Kind::Path, "/run/containerd/containerd.sock", "containerd's socket"),
    setting("containerd-namespace", Kind::Text, "tinkerbell", "containerd's namespace"),
    setting(
        "containerd-registry-config-path",
        Kind::Path,
        "/etc/containerd/certs.d",
        "directory of hosts.toml files: mirrors, CAs, plain http",
    ),
    Setting {
        old_flags: &["docker-registry"],
        old_env: &["DOCKER_REGISTRY"],
        ..setting("registry-name", Kind::Text, "", "the only registry host the credentials are sent to")
    },
    Setting {
        old_flags: &["registry-username"],
        old_env: &["REGISTRY_USERNAME"],
        ..setting("registry-user", Kind::Text, "", "user at that registry")
    },
    Setting {
        old_flags: &["registry-password"],
        old_env: &["REGISTRY_PASSWORD"],
        ..setting("registry-pass", Kind::Secret, "", "password at that registry")
    },
    setting(
        "insecure-registries",
        Kind::Text,
        "",
        "registries without TLS or with a certificate that cannot be verified, comma-separated (embedded runtime)",
    ),
    setting("images", Kind::Path, "", "directory of image archives (.tar, .tar.gz, .tgz) to import at the start"),
    setting("state-dir", Kind::Path, "/var/lib/tink-worker", "where the journal is"),
    setting("backoff-max-interval", Kind::Duration, "5s", "longest pause between requests and between reports"),
    setting("stop-grace", Kind::Duration, "5s", "between SIGTERM and SIGKILL of an action whose time is used up"),
    setting("log-level", Kind::Level, "0", "0 = info, 1 = debug, 5 = trace"),
    setting("log-format", Kind::Text, "json", "json or text"),
    setting("transport", Kind::Text, "grpc", "grpc"),
    inert("attribute-detection", Kind::Bool, "true", "hardware attributes are not sent"),
    inert("grpc-retry-interval", Kind::Duration, "5s", "has no effect upstream either"),
    inert("workflow-path", Kind::Path, "", "has no effect upstream either"),
    inert("containerd-data-root", Kind::Path, "/var/lib/nerdctl", "logs are kept in the state directory"),
    inert("kubernetes-namespace", Kind::Text, "tinkerbell", "there is no kubernetes runtime"),
    inert("kubernetes-kubeconfig", Kind::Path, "", "there is no kubernetes runtime"),
    inert("kubernetes-service-account", Kind::Text, "", "there is no kubernetes runtime"),
    inert("nats-server", Kind::Text, "0.0.0.0:0", "there is no NATS transport"),
    inert("nats-stream", Kind::Text, "tinkerbell", "there is no NATS transport"),
    inert("nats-events", Kind::Text, "workflow_status", "there is no NATS transport"),
    inert("nats-actions", Kind::Text, "workflow_actions", "there is no NATS transport"),
];

impl Setting {
    /// `TINK_GRPC_SERVER`, `AGENT_GRPC_SERVER`: ours first.
    pub(super) fn env_names(&self) -> [String; 2] {
        let name = self.name.to_ascii_uppercase().replace('-', "_");
        [format!("TINK_{name}"), format!("AGENT_{name}")]
    }
}

/// The setting a flag name belongs to.
pub(super) fn by_flag(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name || setting.old_flags.contains(&name))
}
