//! Flags, environment, and which of them wins.

use std::time::Duration;

use super::*;

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
    assert_eq!(config.notes.len(), 3, "{:?}", config.notes);
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

proptest::proptest! {
    #[test]
    fn no_command_line_makes_it_panic(args in proptest::collection::vec("[-=a-z0-9. ]{0,12}|-(id|grpc-tls|stop-grace)(=.{0,8})?", 0..6)) {
        let _ = parse(args, |_| None);
    }
}
