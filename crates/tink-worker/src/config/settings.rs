//! Every setting, once: its names in all sources, its default, what it means.

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Secret,
    Bool,
    /// A bool whose value may also be a file.
    Switch,
    Duration,
    /// A duration as older workers took it: also a bare number of seconds, and `3ns` for 3 s.
    RetryInterval,
    Count,
    Path,
    Level,
    /// A URL that may hold a password.
    Proxy,
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
    /// Environment that every program reads, below the worker's own; an earlier one wins.
    pub(super) common_env: &'static [&'static str],
    /// Kernel command line; a later one wins over an earlier one.
    pub(super) kernel: &'static [&'static str],
    pub(super) help: &'static str,
    /// Accepted for the sake of existing start scripts, without effect here.
    pub(super) inert: bool,
}

const fn setting(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, kind, default, old_flags: &[], old_env: &[], common_env: &[], kernel: &[], help, inert: false }
}

const fn inert(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, kind, default, old_flags: &[], old_env: &[], common_env: &[], kernel: &[], help, inert: true }
}

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        old_flags: &["i"],
        old_env: &["ID", "WORKER_ID"],
        kernel: &["hw_addr", "worker_id"],
        ..setting("id", Kind::Text, "", "who this worker is: a MAC address or any name the server's workflows use")
    },
    Setting {
        old_flags: &["tinkerbell-grpc-authority"],
        old_env: &["TINKERBELL_GRPC_AUTHORITY"],
        kernel: &["grpc_authority"],
        ..setting("grpc-server", Kind::Text, "", "host:port of the server")
    },
    setting(
        "protocol",
        Kind::Text,
        "auto",
        "auto, or the wire of one year: 2025 (today's), 2023 (tink v0.9 to v0.12), 2021 (tink v0.2 to v0.8)",
    ),
    Setting {
        old_flags: &["tinkerbell-tls"],
        old_env: &["TINKERBELL_TLS"],
        kernel: &["tinkerbell_tls"],
        ..setting("grpc-tls", Kind::Bool, "false", "use TLS to the server")
    },
    Setting {
        old_flags: &["tinkerbell-insecure-tls"],
        old_env: &["TINKERBELL_INSECURE_TLS"],
        kernel: &["tinkerbell_insecure_tls"],
        ..setting("grpc-insecure-tls", Kind::Bool, "false", "take the server's certificate unseen")
    },
    Setting {
        old_flags: &["tinkerbell-cert-url"],
        old_env: &["TINKERBELL_CERT_URL"],
        kernel: &["grpc_cert_url"],
        ..setting(
            "cert-url",
            Kind::Text,
            "",
            "where the server's certificate is fetched; TLS then trusts that one only",
        )
    },
    setting(
        "ca-file",
        Kind::Path,
        "",
        "certificate authorities of server and registries beside the system's and the built-in ones, PEM",
    ),
    setting("runtime", Kind::Text, "auto", "auto, docker, containerd or embedded"),
    Setting {
        common_env: &["DOCKER_HOST"],
        ..setting("docker-socket", Kind::Path, "/var/run/docker.sock", "Docker's socket")
    },
    setting("containerd-socket", Kind::Path, "/run/containerd/containerd.sock", "containerd's socket"),
    setting("containerd-namespace", Kind::Text, "tinkerbell", "containerd's namespace"),
    setting("containerd-data-root", Kind::Path, "/var/lib/nerdctl", "where nerdctl looks for logs of containers"),
    setting(
        "containerd-registry-config-path",
        Kind::Path,
        "/etc/containerd/certs.d",
        "directory of hosts.toml files: mirrors, CAs, plain http",
    ),
    Setting {
        old_flags: &["docker-registry", "r"],
        old_env: &["DOCKER_REGISTRY"],
        kernel: &["docker_registry"],
        ..setting(
            "registry-name",
            Kind::Text,
            "",
            "the only registry host the credentials are sent to; on the wires of 2021 and 2023 the prefix of every image",
        )
    },
    Setting {
        old_flags: &["registry-username", "u"],
        old_env: &["REGISTRY_USERNAME"],
        kernel: &["registry_username"],
        ..setting("registry-user", Kind::Text, "", "user at that registry")
    },
    Setting {
        old_flags: &["registry-password", "p"],
        old_env: &["REGISTRY_PASSWORD"],
        kernel: &["registry_password"],
        ..setting("registry-pass", Kind::Secret, "", "password at that registry")
    },
    Setting {
        kernel: &["insecure_registries"],
        ..setting(
            "insecure-registries",
            Kind::Text,
            "",
            "registries without TLS or with a certificate that cannot be verified, comma-separated (not with Docker)",
        )
    },
    Setting {
        common_env: &["HTTP_PROXY", "http_proxy"],
        kernel: &["HTTP_PROXY"],
        ..setting("http-proxy", Kind::Proxy, "", "proxy for http: the certificate, registries without TLS")
    },
    Setting {
        common_env: &["HTTPS_PROXY", "https_proxy"],
        kernel: &["HTTPS_PROXY"],
        ..setting("https-proxy", Kind::Proxy, "", "proxy for https and for the server")
    },
    Setting {
        common_env: &["NO_PROXY", "no_proxy"],
        kernel: &["NO_PROXY"],
        ..setting("no-proxy", Kind::Text, "", "what is reached without a proxy, comma-separated")
    },
    setting("images", Kind::Path, "", "directory of image archives and OCI layouts to import at the start"),
    setting(
        "image-bytes-max",
        Kind::Count,
        "0",
        "bytes that the embedded runtime keeps of images at most; 0 = three quarters of what is free without them",
    ),
    setting("state-dir", Kind::Path, "/var/lib/tink-worker", "where the journal is"),
    setting(
        "workflow-data-dir",
        Kind::Path,
        "/worker",
        "on the wires of 2021 and 2023, actions see its <workflow id> as /workflow",
    ),
    Setting {
        old_env: &["MAX_FILE_SIZE"],
        ..setting("max-file-size", Kind::Count, "10485760", "bytes of workflow data sent to a server of 2021 at most")
    },
    Setting {
        old_env: &["CAPTURE_ACTION_LOGS"],
        ..setting("capture-action-logs", Kind::Bool, "true", "write what actions print to the worker's own log")
    },
    setting("backoff-max-interval", Kind::Duration, "5s", "longest pause between requests and between reports"),
    Setting {
        old_env: &["RETRY_INTERVAL"],
        ..setting(
            "retry-interval",
            Kind::RetryInterval,
            "",
            "older name of backoff-max-interval, which wins; a bare number is seconds",
        )
    },
    setting("stop-grace", Kind::Duration, "5s", "between SIGTERM and SIGKILL of an action whose time is used up"),
    Setting {
        kernel: &["syslog_host"],
        ..setting("syslog-host", Kind::Text, "", "host that is sent the log and what actions print, by syslog over UDP")
    },
    Setting { kernel: &["syslog_port"], ..setting("syslog-port", Kind::Count, "514", "port of that host") },
    setting(
        "reboot-file",
        Kind::Path,
        "",
        "reboot the machine when this file appears, as HookOS does for /worker/reboot",
    ),
    setting(
        "reboot-command",
        Kind::Path,
        "/sbin/reboot",
        "what then reboots it; where it is missing, the kernel is asked",
    ),
    Setting {
        old_env: &["container_uuid"],
        kernel: &["instance_id"],
        ..setting("container-uuid", Kind::Text, "", "the machine's instance, for the log")
    },
    setting("log-level", Kind::Level, "0", "0 = info, 1 = debug, 5 = trace"),
    setting("log-format", Kind::Text, "json", "json or text"),
    setting("transport", Kind::Text, "grpc", "grpc"),
    setting(
        "config-file",
        Kind::Path,
        "",
        "settings by name; else tink-worker.yaml (.json, .toml, …) in /etc/tinkerbell or .",
    ),
    setting(
        "from-cmdline",
        Kind::Switch,
        "false",
        "read the kernel command line as well: /proc/cmdline, or the file that is given",
    ),
    setting("attribute-detection", Kind::Bool, "true", "tell the server what hardware this machine has"),
    inert("grpc-retry-interval", Kind::Duration, "5s", "has no effect upstream either"),
    inert("workflow-path", Kind::Path, "", "has no effect upstream either"),
    Setting { old_env: &["MAX_RETRY"], ..inert("max-retry", Kind::Text, "", "the worker never gives up") },
    Setting { old_env: &["TIMEOUT"], ..inert("timeout", Kind::Text, "", "the worker has no end of its own") },
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

/// The setting a key of a config file, or of `tink.KEY=` on the kernel command line, belongs to: dashes and underscores
/// are the same there, and upper and lower case.
pub(super) fn by_key(key: &str) -> Option<&'static Setting> {
    by_flag(&key.trim().to_ascii_lowercase().replace('_', "-"))
}
