//! The program: exit codes, `--print-config`, signals.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tink-server"));
    command.env_clear();
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program().args(args).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_bad_configuration_ends_with_64_and_says_what_to_do() {
    let (code, _, said) = run(&[]);
    assert!(code == Some(64) && said.contains("--insecure") && said.contains("--tls-cert"), "{code:?} {said}");
    for args in [&["--grpc-addr", "x"][..], &["--insecure", "--hold", "50"], &["--insecure", "--unknown"]] {
        let (code, _, said) = run(args);
        assert!(
            code == Some(64) && said.contains(args[args.len().min(2) - 1].trim_start_matches("--insecure")),
            "{said}"
        );
    }
    let (code, _, said) = run(&["--tls-cert", "/nowhere/c", "--tls-key", "/nowhere/k"]);
    assert!(code == Some(64) && said.contains("/nowhere/c"), "{code:?} {said}");
    assert_eq!(run(&["--help"]).0, Some(0));
}

#[test]
fn a_data_file_that_cannot_be_used_ends_with_1() {
    let (code, _, said) = run(&["--insecure", "--data", "/dev/null/tink.db"]);
    assert!(code == Some(1) && said.contains("/dev/null") && said.contains("--data"), "{code:?} {said}");
}

#[test]
fn the_configuration_is_printed_with_its_sources() {
    let output = program().args(["--print-config", "--insecure"]).env("TINK_SERVER_HOLD", "7s").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    let line = |flag: &str| text.lines().find(|line| line.starts_with(flag)).unwrap().to_owned();
    assert!(line("hold").contains("7s") && line("hold").ends_with("environment TINK_SERVER_HOLD"), "{text}");
    assert!(line("insecure").ends_with("flag") && line("data").ends_with("default"), "{text}");
}

#[test]
fn it_starts_says_so_in_json_and_stops_cleanly_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tink.db");
    let mut child = program()
        .args(["--insecure", "--grpc-addr", "127.0.0.1:0", "--http-addr", "off", "--data"])
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let first: serde_json::Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
    assert_eq!((first["message"].as_str(), first["http"].as_str()), (Some("tink-server started"), Some("off")));
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let rest: Vec<_> = log.map(|line| line.unwrap()).collect();
    assert!(rest.last().unwrap().contains("tink-server stopped"), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!file.with_extension("db-wal").exists(), "closed in order");
}
