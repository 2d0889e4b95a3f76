//! A launcher that is process 1, as a worker is in an image of its own.

use std::process::{Command, Stdio};

use crate::support::Trial;

fn first(args: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(env!("CARGO_BIN_EXE_tink-oci-probe"))
        .args(args);
    command
}

#[test]
fn nothing_dead_stays_behind() {
    let trial = Trial::shell("(setsid sleep 1000 &); true");
    let path = trial.spec_file();
    let output = first(&["zombies", path.to_str().unwrap(), "4"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn it_ends_with_the_code_of_what_it_does_and_takes_signals() {
    let output = first(&["nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage:"));
    // Waits for a program for as long as that runs.
    let trial = Trial::shell("echo up; sleep 1000");
    let path = trial.spec_file();
    let mut unshare = first(&["bench", path.to_str().unwrap(), "1"]).stdout(Stdio::null()).spawn().unwrap();
    let children =
        |pid: &str| crate::support::host_shell(&format!("ps -o pid= --ppid {pid} || true")).trim().to_owned();
    let mut keeper = String::new();
    // The worker of it, or its shim: there is a child when it has begun.
    while keeper.is_empty() || children(&keeper).is_empty() {
        keeper = children(&unshare.id().to_string());
    }
    crate::support::host_shell(&format!("kill -TERM {keeper}"));
    assert_eq!(unshare.wait().unwrap().code(), Some(143));
    // What ran in it ended with it, and is seen to be gone from here.
    tink_oci::remove(&trial.dir().with_extension("0")).await.unwrap();
}
