//! Running further programs in a running container.

use tink_oci::{ExecError, ExecRequest, PidNamespace, exec_command};

use crate::support::{Trial, probe};

async fn running(pid: PidNamespace) -> Trial {
    let mut trial = Trial::shell("echo up; echo 7 > /tmp/mark; while :; do sleep 1000; done");
    trial.spec.hostname = Some("inside".to_owned());
    trial.spec.env = vec!["NAME=value".to_owned()];
    trial.spec.cwd = "/tmp".to_owned();
    trial.spec.pid = pid;
    trial.launch();
    trial.printed("up").await;
    trial
}

fn exec(trial: &Trial, words: &[&str]) -> (i32, String, String) {
    let mut args = vec!["exec", trial.dir().to_str().unwrap()];
    args.extend(words);
    let output = probe(&args);
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_further_program_sees_what_the_first_sees() {
    let trial = running(PidNamespace::Private).await;
    let script = "hostname; pwd; cat mark; echo $NAME $HOME; tr '\\0' ' ' < /proc/1/cmdline | cut -c 1-8; cat /proc/self/cgroup | grep -vc ':/$'; exit 9";
    let (code, out, err) = exec(&trial, &["sh", "-c", script]);
    assert_eq!((code, out.as_str(), err.as_str()), (9, "inside\n/tmp\n7\nvalue /root\nsh -c ec\n0", ""));
}

#[tokio::test]
async fn a_further_program_sees_the_hosts_processes_if_the_first_does() {
    let trial = running(PidNamespace::Host).await;
    let (code, out, _) = exec(&trial, &["readlink", "/proc/self/ns/pid"]);
    assert_eq!((code, out), (0, crate::support::host_shell("readlink /proc/self/ns/pid")));
}

#[tokio::test]
async fn a_further_program_that_is_missing_or_killed_says_so_by_its_code() {
    let trial = running(PidNamespace::Private).await;
    let (code, _, err) = exec(&trial, &["nosuch"]);
    assert!(code == 127 && err.contains("no such program \"nosuch\""), "{code} {err}");
    assert_eq!(exec(&trial, &["/etc/passwd"]).0, 126);
    assert_eq!(exec(&trial, &["sh", "-c", "kill -9 $$"]).0, 137);
}

#[tokio::test]
async fn a_terminal_is_one_of_the_containers_own() {
    let trial = running(PidNamespace::Private).await;
    let (code, out, err) = exec(&trial, &["-t", "sh", "-c", "tty; test -t 0 && test -t 2; echo $?; exit 3"]);
    assert_eq!((code, out.replace('\r', "").as_str(), err.as_str()), (3, "/dev/pts/0\n0", ""));
}

#[tokio::test]
async fn a_container_that_has_ended_cannot_be_entered() {
    let trial = Trial::shell("true");
    trial.run().await;
    let request = ExecRequest { args: vec!["true".to_owned()], env: Vec::new(), cwd: None, user: None, tty: false };
    assert!(matches!(exec_command(trial.dir(), request), Err(ExecError::NotRunning { .. })));
}
