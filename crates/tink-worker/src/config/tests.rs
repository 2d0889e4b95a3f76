//! Flags, environment, and which of them wins.

use std::time::Duration;

use super::*;
use crate::transport::grpc::Protocol;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn env(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
    move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

fn run(args: &str, pairs: &'static [(&'static str, &'static str)]) -> Config {
    match parse(words(args), env(pairs)).unwrap() {
        Invocation::Run(config) => *config,
        Invocation::Print(text) => panic!("{text}"),
    }
}

fn fails(args: &str, pairs: &'static [(&'static str, &'static str)]) -> String {
    parse(words(args), env(pairs)).unwrap_err().to_string()
}

fn printed(args: &str, pairs: &'static [(&'static str, &'static str)]) -> String {
    match parse(words(args), env(pairs)).unwrap() {
        Invocation::Print(text) => text,
        Invocation::Run(config) => panic!("{config:?}"),
    }
}

const MINIMAL: &str = "-id w1 -grpc-server tink:42113";

#[test]
fn every_form_of_a_flag_is_understood() {
    for args in [
        "-id x -grpc-server s:1 -grpc-tls",
        "--id=x --grpc-server=s:1 --grpc-tls=true",
        "-id=x -grpc-server=s:1 -grpc-tls=T",
        "-grpc-tls true -id x -tinkerbell-grpc-authority s:1",
        "-grpc-tls=false -tinkerbell-tls=1 -id y -id x -grpc-server s:1",
    ] {
        let config = run(args, &[]);
        assert_eq!((config.id.as_str(), config.grpc_server.as_str(), config.grpc_tls), ("x", "s:1", true), "{args}");
    }
}

#[test]
fn the_start_line_of_captainos_is_understood() {
    let config = run(
        "-runtime containerd -containerd-socket /run/containerd/containerd.sock -transport grpc \
         -grpc-server 192.168.2.1:42113 -grpc-tls=false -grpc-insecure-tls=false -id 02:00:00:00:00:01 \
         -registry-name reg.example.com -registry-user u -registry-pass p",
        &[],
    );
    assert_eq!(config.runtime, RuntimeChoice::Containerd);
    assert_eq!(config.registry_pass.expose(), "p");
}

#[test]
fn the_environment_of_hook_is_understood_with_its_empty_values() {
    let config = run(
        "",
        &[
            ("DOCKER_REGISTRY", "reg.example.com"),
            ("REGISTRY_USERNAME", "u"),
            ("REGISTRY_PASSWORD", "p"),
            ("TINKERBELL_GRPC_AUTHORITY", "192.168.2.1:42113"),
            ("TINKERBELL_TLS", "false"),
            ("TINKERBELL_INSECURE_TLS", ""),
            ("ID", "one"),
            ("WORKER_ID", "two"),
            ("HTTP_PROXY", ""),
            ("HTTPS_PROXY", ""),
        ],
    );
    assert_eq!((config.id.as_str(), config.registry_name.as_str()), ("two", "reg.example.com"));
}

#[test]
fn legacy_environment_wins_over_flags_and_flags_over_environment() {
    let config = run("-id flag -grpc-server flag:1", &[("WORKER_ID", "legacy"), ("AGENT_GRPC_SERVER", "env:1")]);
    assert_eq!((config.id.as_str(), config.grpc_server.as_str()), ("legacy", "flag:1"));
    assert_eq!(config.notes, ["legacy environment WORKER_ID wins over flag -id"]);
    let config =
        run("", &[("AGENT_ID", "env"), ("WORKER_ID", " "), ("TINK_GRPC_SERVER", "s:1"), ("AGENT_GRPC_TLS", "1")]);
    assert_eq!((config.id.as_str(), config.grpc_tls), ("env", true));
}

#[test]
fn a_legacy_bool_that_is_none_is_ignored_as_upstream_ignores_it() {
    let config = run(MINIMAL, &[("TINKERBELL_TLS", "yes")]);
    assert!(!config.grpc_tls);
    assert_eq!(config.notes.len(), 1);
}

#[test]
fn what_is_missing_or_wrong_is_named_with_what_to_do() {
    assert!(fails("-grpc-server s:1", &[]).starts_with("no id is given"));
    assert!(fails("-id x", &[]).contains("AGENT_GRPC_SERVER"));
    assert_eq!(
        fails("-grpc-sever s:1", &[]),
        "unknown flag -grpc-sever; did you mean -grpc-server?; --help lists all flags"
    );
    assert_eq!(fails("-xyzzy-plugh", &[]), "unknown flag -xyzzy-plugh; --help lists all flags");
    assert!(fails("-id", &[]).starts_with("flag -id needs a value"));
    assert!(fails("start", &[]).contains("\"start\""));
    assert!(fails("-", &[]).contains("\"-\""));
    for bad in [
        "-grpc-tls=maybe",
        "-backoff-max-interval 5",
        "-backoff-max-interval soon",
        "-stop-grace=-5s",
        "-runtime kubernetes",
        "-transport nats",
        "-log-level loud",
        "-log-format xml",
        "-grpc-server http://s:1",
        "-id a\u{7}b",
        "-version=maybe",
    ] {
        let error = fails(&format!("{MINIMAL} {bad}"), &[]);
        assert!(error.contains("which is not"), "{bad}: {error}");
        assert!(error.contains("from flag"), "{bad}: {error}");
    }
    assert!(fails(MINIMAL, &[("AGENT_STOP_GRACE", "x")]).contains("from environment AGENT_STOP_GRACE"));
    assert!(!fails(MINIMAL, &[("HTTPS_PROXY", "socks5://u:hunter2@x:1")]).contains("hunter2"));
}

#[test]
fn durations_are_gos() {
    for (text, expected) in
        [("5s", 5_000), ("1m30s", 90_000), ("1h", 3_600_000), ("250ms", 250), ("1.5s", 1_500), ("0", 0), ("0s", 0)]
    {
        let config = run(&format!("{MINIMAL} -stop-grace {text}"), &[]);
        assert_eq!(config.stop_grace, Duration::from_millis(expected), "{text}");
    }
    for bad in ["1", "s", "1x", "1s1", "", "1e5s", "9999999999999999999999h"] {
        assert!(fails(&format!("{MINIMAL} -stop-grace={bad}"), &[]).contains("duration"), "{bad}");
    }
}

#[test]
fn flags_of_other_agents_are_accepted_and_said_to_have_no_effect() {
    let config =
        run(&format!("{MINIMAL} -nats-server 1.2.3.4:5 -attribute-detection=false -kubernetes-namespace x"), &[]);
    assert!(!config.attribute_detection);
    assert_eq!(config.notes.len(), 2, "{:?}", config.notes);
}

#[test]
fn print_config_shows_sources_and_no_secret() {
    let text = printed("-id x --print-config -registry-pass hunter2", &[("TINKERBELL_TLS", "true")]);
    assert!(text.contains("id = \"x\"  # flag -id\n"), "{text}");
    assert!(text.contains("grpc-tls = true  # legacy environment TINKERBELL_TLS\n"), "{text}");
    assert!(text.contains("registry-pass = ***  # flag -registry-pass\n"), "{text}");
    assert!(text.contains("stop-grace = 5s  # default\n"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!format!("{:?}", run(&format!("{MINIMAL} -registry-pass hunter2"), &[])).contains("hunter2"));
}

#[test]
fn help_and_version_need_no_other_value() {
    assert!(printed("--help", &[]).contains("-grpc-server"));
    assert_eq!(printed("-version", &[]), concat!("tink-worker ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn the_start_of_osie_is_understood() {
    let config = run(
        "",
        &[
            ("container_uuid", "7f3e"),
            ("WORKER_ID", "3fa85f64-5717-4562-b3fc-2c963f66afa6"),
            ("ID", "3fa85f64-5717-4562-b3fc-2c963f66afa6"),
            ("DOCKER_REGISTRY", "192.168.1.1"),
            ("TINKERBELL_GRPC_AUTHORITY", "192.168.1.1:42113"),
            ("TINKERBELL_CERT_URL", "http://192.168.1.1:42114/cert"),
            ("REGISTRY_USERNAME", "admin"),
            ("REGISTRY_PASSWORD", "p"),
            ("CAPTURE_ACTION_LOGS", "false"),
        ],
    );
    assert_eq!(config.cert_url.unwrap().to_string(), "http://192.168.1.1:42114/cert");
    assert_eq!((config.registry_name.as_str(), config.registry_user.as_str()), ("192.168.1.1", "admin"));
    assert_eq!((config.container_uuid.as_deref(), config.capture_action_logs), (Some("7f3e"), false));
    assert_eq!(config.protocol, Protocol::Auto);
    assert!(config.notes.is_empty(), "{:?}", config.notes);
}

#[test]
fn flags_of_the_first_workers_are_understood() {
    let config = run(
        "-i x -r reg:5000 -u user -p pass --tinkerbell-grpc-authority s:1 --retry-interval 3s --max-retry 5 --timeout 1h \
         --max-file-size 99 --capture-action-logs=false --tinkerbell-tls=false",
        &[],
    );
    assert_eq!((config.id.as_str(), config.registry_name.as_str()), ("x", "reg:5000"));
    assert_eq!((config.registry_user.as_str(), config.registry_pass.expose().as_str()), ("user", "pass"));
    assert_eq!((config.workflow_data_bytes_max, config.capture_action_logs), (99, false));
    assert_eq!(config.backoff_max_interval, Duration::from_secs(3));
    assert_eq!(config.notes.len(), 2, "max-retry and timeout have no effect: {:?}", config.notes);
}

#[test]
fn a_retry_interval_counts_where_its_newer_name_says_nothing() {
    let seconds = |args: &str, pairs| run(&format!("{MINIMAL} {args}"), pairs).backoff_max_interval.as_secs();
    assert_eq!(seconds("", &[("RETRY_INTERVAL", "3ns")]), 3);
    assert_eq!(seconds("", &[("RETRY_INTERVAL", "7")]), 7);
    assert_eq!(seconds("-backoff-max-interval 2s", &[("RETRY_INTERVAL", "7")]), 2);
    assert_eq!(seconds("", &[("RETRY_INTERVAL", "")]), 5);
    let config = run(MINIMAL, &[("RETRY_INTERVAL", "soon"), ("MAX_FILE_SIZE", "big")]);
    assert_eq!((config.backoff_max_interval.as_secs(), config.workflow_data_bytes_max), (5, 10_485_760));
    assert_eq!(config.notes.len(), 2, "{:?}", config.notes);
    assert!(fails(&format!("{MINIMAL} -retry-interval soon"), &[]).contains("number of seconds"));
}

#[test]
fn a_certificate_url_is_not_asked_for_where_tls_is_switched_off() {
    let url = ("TINKERBELL_CERT_URL", "http://s:2/cert");
    assert!(run(MINIMAL, &[("TINKERBELL_CERT_URL", "http://s:2/cert")]).cert_url.is_some());
    assert!(run(&format!("{MINIMAL} -grpc-tls=true -cert-url {}", url.1), &[]).cert_url.is_some());
    assert!(run(&format!("{MINIMAL} -grpc-tls=false -cert-url {}", url.1), &[]).cert_url.is_none());
    assert!(fails(&format!("{MINIMAL} -cert-url s:2/cert"), &[]).contains("which is not a URL"));
}

#[test]
fn docker_host_and_proxies_come_from_the_common_environment() {
    let config = run(MINIMAL, &[("DOCKER_HOST", "unix:///run/d.sock"), ("no_proxy", "s")]);
    assert_eq!(config.docker_socket.to_str(), Some("/run/d.sock"));
    let config = run(MINIMAL, &[("DOCKER_HOST", "tcp://1.2.3.4:2375")]);
    assert_eq!(config.docker_socket.to_str(), Some("/var/run/docker.sock"));
    assert_eq!(config.notes.len(), 1);
    let text = printed("-print-config", &[("HTTPS_PROXY", "http://u:hunter2@proxy:3128")]);
    assert!(text.contains("https-proxy = \"***@proxy:3128\"  # environment HTTPS_PROXY\n"), "{text}");
}

/// A kernel command line and a config file on disk.
fn from_files(args: &str, cmdline: &str, file: Option<(&str, &str)>) -> Result<Invocation, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let kernel = dir.path().join("cmdline");
    std::fs::write(&kernel, cmdline).unwrap();
    if let Some((name, text)) = file {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let dirs = [dir.path().to_owned()];
    parse_with(words(args), &Sources { env: &|_| None, config_dirs: &dirs, kernel_cmdline: &kernel })
}

const CMDLINE: &str = "BOOT_IMAGE=/vmlinuz vlan_id= facility=onprem syslog_host=192.168.2.4 syslog_port=1514 \
    grpc_authority=192.168.2.4:42113 tinkerbell_tls=false worker_id=02:00:00:00:00:01 hw_addr=02:00:00:00:00:01 \
    console=ttyS0 docker_registry= insecure_registries=a:5000,b HTTPS_PROXY=\"http://p:3128\" instance_id=7f3e \
    tink.runtime=embedded tink.log_level=1 grpc_authority=tink.example.com:42113\n";

#[test]
fn everything_can_come_from_the_kernel_command_line() {
    let Ok(Invocation::Run(config)) = from_files("-from-cmdline", CMDLINE, None) else { panic!() };
    assert_eq!((config.id.as_str(), config.grpc_server.as_str()), ("02:00:00:00:00:01", "tink.example.com:42113"));
    assert_eq!((config.runtime, config.log_level), (RuntimeChoice::Embedded, 1));
    assert_eq!((config.syslog_host.as_deref(), config.syslog_port), (Some("192.168.2.4"), 1514));
    assert_eq!(config.insecure_registries, ["a:5000", "b"]);
    assert_eq!(config.container_uuid.as_deref(), Some("7f3e"));
    assert!(!config.grpc_tls && config.registry_name.is_empty());
    let proxies: Vec<_> = config.proxy_environment.iter().map(|(name, url)| (*name, url.expose().as_str())).collect();
    assert_eq!(proxies, [("HTTPS_PROXY", "http://p:3128")]);
    assert!(run(MINIMAL, &[("https_proxy", "http://p:3128")]).proxy_environment.is_empty(), "it stands there");
    let Ok(Invocation::Print(text)) = from_files("-from-cmdline -print-config", CMDLINE, None) else { panic!() };
    for line in [
        "grpc-server = \"tink.example.com:42113\"  # kernel command line grpc_authority=\n",
        "runtime = \"embedded\"  # kernel command line tink.runtime=\n",
        "registry-name = \"\"  # default\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn the_kernel_command_line_is_read_only_when_asked_for_and_below_flags() {
    assert!(from_files("", CMDLINE, None).unwrap_err().to_string().starts_with("no id is given"));
    assert!(from_files("-from-cmdline=false", CMDLINE, None).is_err());
    let Ok(Invocation::Run(config)) = from_files("-from-cmdline -id x", CMDLINE, None) else { panic!() };
    assert_eq!(config.id.as_str(), "x");
    let error = from_files("-from-cmdline=/nonexistent/cmdline", CMDLINE, None).unwrap_err().to_string();
    assert!(error.starts_with("failed to read the kernel command line from /nonexistent/cmdline"), "{error}");
}

#[test]
fn a_config_file_is_read_below_everything_else() {
    let yaml = "id: file\ntinkerbell-grpc-authority: file:1\ndocker-registry: reg\nstate-dir: /x\nnonsense: 1\n";
    let args = "-id flag -from-cmdline";
    let found = from_files(args, "grpc_authority=kernel:1", Some(("tink-worker.yaml", yaml)));
    let Ok(Invocation::Run(config)) = found else { panic!() };
    assert_eq!((config.id.as_str(), config.grpc_server.as_str()), ("flag", "kernel:1"));
    assert_eq!((config.registry_name.as_str(), config.state_dir.to_str()), ("reg", Some("/x")));
    assert_eq!(config.notes.len(), 1, "{:?}", config.notes);
    let error = from_files("", "", Some(("tink-worker.json", "{"))).unwrap_err().to_string();
    assert!(error.contains("the config file") && error.contains("tink-worker.json"), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_command_line_makes_it_panic(args in proptest::collection::vec("[-=a-z0-9. ]{0,12}|-(id|grpc-tls|stop-grace)(=.{0,8})?", 0..6)) {
        let _ = parse(args, |_| None);
    }
}
