//! Running further programs in a running container.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tink_oci::{ExecError, ExecRequest, LoopDevice, PidNamespace, Volume, exec_command, wait};

use crate::support::{Trial, assert_free, host_shell, probe, processes_of};

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

/// A container that ends with code 5 when its gate is opened.
async fn gated(pid: PidNamespace) -> (Trial, std::path::PathBuf) {
    let mut trial = Trial::shell("echo up; read _ < /gate; exit 5");
    trial.spec.pid = pid;
    let gate = trial.gate();
    trial.launch();
    trial.printed("up").await;
    (trial, gate)
}

/// A further program, in a process group of its own, whose output is a pipe of the test's.
fn spawn(trial: &Trial, words: &[&str]) -> Child {
    spawn_into(trial, words, Stdio::piped())
}

fn spawn_into(trial: &Trial, words: &[&str], stdout: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tink-oci-probe"));
    command.arg("exec").arg(trial.dir()).args(words);
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).process_group(0).spawn().unwrap()
}

/// Waits for a program that says so when it is in.
fn is_in(child: &mut Child) {
    let mut line = [0_u8; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"in\n");
}

#[tokio::test]
async fn a_container_ends_though_nobody_reads_what_a_further_program_prints() {
    let (trial, gate) = gated(PidNamespace::Private).await;
    let (output, full) = std::io::pipe().unwrap();
    let into = full.try_clone().unwrap().into();
    let mut child = spawn_into(&trial, &["-t", "sh", "-c", "while :; do echo and so on; done"], into);
    // How many bytes fill it depends on how they are written; the kernel knows.
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    while poll(&mut [PollFd::new(&full, PollFlags::OUT)], Some(&now)).unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    drop(full);
    std::fs::write(gate, "go\n").unwrap();
    assert_eq!(wait(trial.dir()).await.unwrap().code(), 5);
    drop(output);
    child.wait().unwrap();
}

#[tokio::test]
async fn a_container_ends_though_a_further_program_is_stopped_from_its_terminal() {
    for pid in [PidNamespace::Private, PidNamespace::Host] {
        let (trial, gate) = gated(pid).await;
        let mut child = spawn(&trial, &["sh", "-c", "echo in; sleep 1000"]);
        is_in(&mut child);
        host_shell(&format!("kill -STOP -{}", child.id()));
        std::fs::write(gate, "go\n").unwrap();
        let exit = wait(trial.dir()).await.unwrap();
        assert_eq!((exit.code(), exit.unkillable), (5, 0));
        host_shell(&format!("kill -CONT -{}", child.id()));
        assert_eq!(child.wait().unwrap().code(), Some(137));
    }
}

#[tokio::test]
async fn further_programs_end_with_their_container_and_keep_nothing_of_it() {
    for pid in [PidNamespace::Private, PidNamespace::Host] {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        let disk = LoopDevice::attach(file.path()).unwrap();
        let node = disk.path().display();
        let mut trial = Trial::shell(&format!(
            "mke2fs {node} > /dev/null && mkdir /disk && mount -t ext2 {node} /disk && echo up; read _ < /gate; exit 5"
        ));
        trial.spec.pid = pid;
        let gate = trial.gate();
        trial.spec.volumes.push(Volume::bind("/dev", "/dev"));
        trial.launch();
        trial.printed("up").await;
        let script = "cd /disk; setsid sleep 1000 & echo in; while :; do sleep 1000; done";
        let mut children = [spawn(&trial, &["sh", "-c", script]), spawn(&trial, &["-t", "sh", "-c", script])];
        is_in(&mut children[0]);
        let mut byte = [0_u8];
        children[1].stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        std::fs::write(gate, "go\n").unwrap();
        let exit = wait(trial.dir()).await.unwrap();
        assert_eq!((exit.code(), exit.unkillable), (5, 0), "{pid:?}");
        assert_eq!(processes_of(&trial.spec.id), Vec::<String>::new());
        assert_eq!(trial.shim_log(), "", "{pid:?}");
        assert_free(&disk);
        for mut child in children {
            assert_eq!(child.wait().unwrap().code(), Some(137), "{pid:?}");
        }
    }
}

#[tokio::test]
async fn a_further_program_ends_when_nobody_takes_what_it_prints() {
    let trial = running(PidNamespace::Private).await;
    let mut child = spawn(&trial, &["-t", "sh", "-c", "while :; do echo and so on; done"]);
    let mut byte = [0_u8];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
}
