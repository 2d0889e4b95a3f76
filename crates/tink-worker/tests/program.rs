//! The program itself: what it prints, how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tink-worker"));
    command.env_clear();
    command
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn version_and_help_end_with_success_on_stdout() {
    for flag in ["-version", "--version"] {
        let output = run(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), format!("tink-worker {}\n", env!("CARGO_PKG_VERSION")));
    }
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("-grpc-server"));
}

#[test]
fn a_configuration_that_cannot_be_used_ends_with_64_and_says_why() {
    for (args, why) in [
        (&["-grpc-sever", "x"][..], "did you mean -grpc-server?"),
        (&["-grpc-server", "s:1"], "no id is given"),
        (&["-id", "x"], "no grpc-server is given"),
        (&["-id", "x", "-grpc-server", "s:1", "-runtime", "kubernetes"], "kubernetes"),
        (&["-id", "x", "-grpc-server", "s:x"], "port"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(text(&output.stderr).contains(why), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

/// A worker whose server is not there, and its log.
struct Running {
    child: Child,
    log: BufReader<ChildStdout>,
    dir: tempfile::TempDir,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = program()
            .args(["-id", "w1", "-grpc-server", "127.0.0.1:1", "-registry-pass", "hunter2", "--state-dir"])
            .arg(dir.path())
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stdout.take().unwrap());
        Self { child, log, dir }
    }

    /// Reads the log up to a line that holds these words.
    fn wait_for(&mut self, words: &str) -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the log ended without {words:?}");
            assert!(!line.contains("hunter2"), "{line}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            if value["message"].as_str().unwrap().contains(words) {
                return value;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_worker_that_waits_for_its_engine_ends_on_a_signal() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut worker = Running::start(&["-runtime", "docker", "-docker-socket", "/nonexistent/docker.sock"]);
        worker.wait_for("the container engine does not answer");
        worker.signal(signal);
        assert_eq!(worker.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_worker_without_a_server_says_so_once_and_ends_on_a_signal() {
    let mut worker = Running::start(&["-runtime", "embedded", "-backoff-max-interval", "50ms"]);
    let line = worker.wait_for("no work can be taken from the server");
    assert!(line["error"].as_str().unwrap().contains("127.0.0.1:1"), "{line}");
    worker.signal("TERM");
    worker.wait_for("worker ends");
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_second_worker_on_the_same_state_directory_waits() {
    let mut first = Running::start(&["-runtime", "embedded"]);
    first.wait_for("worker starts");
    let shared = first.dir.path().to_str().unwrap().to_owned();
    let mut second = Running::start(&["-runtime", "embedded", "-state-dir", &shared]);
    second.wait_for("another worker uses the state directory");
    first.signal("TERM");
    assert_eq!(first.child.wait().unwrap().code(), Some(0));
    second.wait_for("worker starts");
    second.signal("TERM");
    assert_eq!(second.child.wait().unwrap().code(), Some(0));
}

#[test]
fn proxies_of_the_kernel_command_line_reach_whoever_pulls_images() {
    let cmdline = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(cmdline.path(), "quiet HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1\n").unwrap();
    let flag = format!("-from-cmdline={}", cmdline.path().display());
    let mut worker = Running::start(&["-runtime", "embedded", &flag]);
    worker.wait_for("worker starts");
    let environment = std::fs::read(format!("/proc/{}/environ", worker.child.id())).unwrap();
    let environment = text(&environment);
    for wanted in ["HTTPS_PROXY=http://127.0.0.1:9", "NO_PROXY=127.0.0.1"] {
        assert!(environment.split('\0').any(|pair| pair == wanted), "{environment}");
    }
    worker.signal("TERM");
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
}
