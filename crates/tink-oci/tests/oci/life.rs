//! Starting, ending, finding again, stopping, removing.

use std::time::Duration;

use tink_oci::{Outcome, PidNamespace, Status, WaitError, remove, status, stop, wait};

use crate::support::Trial;

#[tokio::test]
async fn a_command_runs_and_its_exit_and_output_are_there_afterwards() {
    let trial = Trial::shell("echo out; echo err >&2; exit 7");
    let exit = trial.run().await;
    assert_eq!(exit.outcome, Outcome::Exited { code: 7 });
    assert!(!exit.oom && exit.finished_at >= exit.started_at);
    assert_eq!(trial.lines(&[tink_oci::Stream::Stdout]), ["out"]);
    assert_eq!(trial.lines(&[tink_oci::Stream::Stderr]), ["err"]);
    assert_eq!(status(trial.dir()).unwrap(), Status::Exited(Box::new(exit)));
}

#[tokio::test]
async fn a_container_runs_on_when_its_launcher_has_ended_and_is_found_again() {
    let mut trial = Trial::shell("echo up; read _ < /gate; exit 3");
    let fifo = trial.host_dir().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    trial.spec.volumes = vec![tink_oci::Volume::bind(&fifo, "/gate")];
    let record = trial.launch();
    trial.printed("up").await;
    let Status::Running(found) = status(trial.dir()).unwrap() else { panic!("not running") };
    assert_eq!(*found, record);
    std::fs::write(&fifo, "go\n").unwrap();
    assert_eq!(wait(trial.dir()).await.unwrap().code(), 3);
}

#[tokio::test]
async fn stop_ends_a_program_that_listens_with_its_own_exit_code() {
    let trial = Trial::shell("trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 1000 & wait; done");
    trial.launch();
    trial.printed("up").await;
    stop(trial.dir(), Duration::from_secs(60)).await.unwrap();
    let Status::Exited(exit) = status(trial.dir()).unwrap() else { panic!("not exited") };
    assert_eq!(exit.code(), 9);
    assert_eq!(trial.text(), "up\nbye");
}

#[tokio::test]
async fn stop_sends_the_signal_that_the_specification_names() {
    let mut trial =
        Trial::shell("trap 'exit 9' QUIT; trap 'exit 8' TERM; echo up; while :; do sleep 1000 & wait; done");
    for (signal, code) in [(Some(3), 9), (Some(0), 8), (None, 8)] {
        trial.spec.stop_signal = signal;
        trial.launch();
        trial.printed("up").await;
        stop(trial.dir(), Duration::from_secs(60)).await.unwrap();
        let Status::Exited(exit) = status(trial.dir()).unwrap() else { panic!("not exited") };
        assert_eq!(exit.code(), code, "{signal:?}");
        tink_oci::remove(trial.dir()).await.unwrap();
    }
}

#[tokio::test]
async fn stop_kills_a_program_that_does_not_listen() {
    for pid in [PidNamespace::Private, PidNamespace::Host] {
        let mut trial = Trial::shell("trap '' TERM; echo up; while :; do sleep 1000; done");
        trial.spec.pid = pid;
        trial.launch();
        trial.printed("up").await;
        stop(trial.dir(), Duration::from_millis(10)).await.unwrap();
        let Status::Exited(exit) = status(trial.dir()).unwrap() else { panic!("not exited") };
        assert_eq!(exit.outcome, Outcome::Signaled { signal: 9 }, "{pid:?}");
    }
}

#[tokio::test]
async fn processes_that_left_session_and_group_end_with_the_program() {
    for pid in [PidNamespace::Private, PidNamespace::Host] {
        let mut trial = Trial::shell("setsid sh -c 'setsid sleep 1000 & setsid sleep 1000' & sleep 0.1; exit 4");
        trial.spec.pid = pid;
        let exit = trial.run().await;
        assert_eq!((exit.code(), exit.unkillable), (4, 0));
        assert_eq!(crate::support::processes_of(&trial.spec.id), Vec::<String>::new());
    }
}

#[tokio::test]
async fn remove_takes_away_a_running_container_and_again_is_no_error() {
    let trial = Trial::shell("echo up; sleep 1000");
    trial.launch();
    trial.printed("up").await;
    remove(trial.dir()).await.unwrap();
    assert!(!trial.dir().exists());
    remove(trial.dir()).await.unwrap();
    assert_eq!(status(trial.dir()).unwrap(), Status::Gone);
}

#[tokio::test]
async fn a_container_whose_shim_was_killed_dies_with_it_and_is_gone() {
    for pid in [PidNamespace::Private, PidNamespace::Host] {
        let mut trial = Trial::shell("echo up; setsid sleep 1000 & sleep 1000");
        trial.spec.pid = pid;
        let record = trial.launch();
        trial.printed("up").await;
        let shim = record.shim.pid.to_string();
        assert!(std::process::Command::new("kill").args(["-9", &shim]).status().unwrap().success());
        assert!(matches!(wait(trial.dir()).await, Err(WaitError::Gone { .. })));
        assert_eq!(status(trial.dir()).unwrap(), Status::Gone);
    }
}

#[tokio::test]
async fn a_directory_holds_one_container_only() {
    let trial = Trial::shell("true");
    trial.run().await;
    let (_, message) = trial.try_launch().unwrap_err();
    assert!(message.contains("holds a container already"), "{message}");
}

#[tokio::test]
async fn orphans_are_reaped_while_the_program_runs() {
    let mut trial = Trial::shell("for i in 1 2 3 4 5 6 7 8 9; do (sh -c true &); done; echo up; sleep 1000");
    trial.spec.pid = PidNamespace::Host;
    let record = trial.launch();
    trial.printed("up").await;
    let zombies = || {
        let children = crate::support::host_shell(&format!("ps -o stat= --ppid {} || true", record.shim.pid));
        children.lines().filter(|stat| stat.starts_with('Z')).count()
    };
    // Its last orphan may end a moment after the line was printed.
    for _ in 0..1000 {
        if zombies() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} zombies", zombies());
}

#[tokio::test]
async fn whoever_ends_the_shim_politely_ends_the_container_and_learns_its_exit() {
    let trial = Trial::shell("trap 'exit 8' TERM; echo up; while :; do sleep 1000 & wait; done");
    let record = trial.launch();
    trial.printed("up").await;
    crate::support::host_shell(&format!("kill -TERM {}", record.shim.pid));
    assert_eq!(wait(trial.dir()).await.unwrap().code(), 8);
}

#[tokio::test]
async fn a_process_killed_for_want_of_memory_is_told_from_a_killed_one() {
    let mut trial = Trial::shell("read _ < /gate; tail /dev/zero; exit 2");
    let fifo = trial.host_dir().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    trial.spec.volumes = vec![tink_oci::Volume::bind(&fifo, "/gate")];
    let record = trial.launch();
    let limits = ["memory.max", "memory.limit_in_bytes"];
    let limit =
        record.cgroups.iter().flat_map(|cgroup| limits.map(|name| cgroup.join(name))).find(|file| file.exists());
    std::fs::write(limit.unwrap_or_else(|| panic!("no memory controller: {record:?}")), "30000000").unwrap();
    std::fs::write(&fifo, "go\n").unwrap();
    let exit = wait(trial.dir()).await.unwrap();
    assert_eq!((exit.code(), exit.oom), (2, true));
    let exit = Trial::shell("kill -9 $$ || sleep 1000 & kill -9 $!; wait $!; exit 2").run().await;
    assert_eq!((exit.code(), exit.oom), (2, false));
}

#[tokio::test]
async fn a_record_that_was_lost_is_found_in_the_directory() {
    let trial = Trial::shell("echo up; sleep 1000");
    let record = trial.launch();
    trial.printed("up").await;
    assert_eq!(tink_oci::Record::load(trial.dir()).unwrap(), Some(record));
    assert_eq!(tink_oci::Record::load(std::path::Path::new("/nonexistent")).unwrap(), None);
}

#[tokio::test]
async fn a_container_that_ended_unseen_while_nobody_waited_has_its_exit() {
    let trial = Trial::shell("exit 5");
    trial.launch();
    for _ in 0..3 {
        assert_eq!(wait(trial.dir()).await.unwrap().code(), 5);
    }
    stop(trial.dir(), Duration::from_secs(1)).await.unwrap();
}

#[tokio::test]
async fn a_launcher_of_real_time_priority_can_launch() {
    // The machine's cpu controller may refuse such processes; the container then goes without it.
    let trial = Trial::shell("echo up");
    let path = trial.spec_file();
    let probe = env!("CARGO_BIN_EXE_tink-oci-probe");
    crate::support::host_shell(&format!("chrt -f 1 {probe} launch {}", path.display()));
    assert_eq!(wait(trial.dir()).await.unwrap().code(), 0);
    assert_eq!(trial.text(), "up");
}

#[tokio::test]
async fn a_shim_leaves_the_cgroup_of_the_service_that_launched_it() {
    // As a service manager that ends everything in its service's cgroup sees the launcher.
    let mount = crate::support::host_shell(
        "awk '$9 == \"cgroup2\" || $8 == \"cgroup2\" {print $5; exit}' /proc/self/mountinfo",
    );
    assert!(!mount.is_empty(), "no cgroup2 is mounted here");
    for kill_shim in [false, true] {
        let trial = Trial::shell("echo up; sleep 1000");
        let path = trial.spec_file();
        let service = format!("{mount}/service-{}", trial.spec.id);
        let probe = env!("CARGO_BIN_EXE_tink-oci-probe");
        let script =
            format!("mkdir {service}; echo $$ > {service}/cgroup.procs; exec {probe} launch {}", path.display());
        let record: tink_oci::Record = serde_json::from_str(&crate::support::host_shell(&script)).unwrap();
        trial.printed("up").await;
        // Empty, or it could not be removed; the launcher's forker sees its end a moment later.
        let removed = (0..100_000).map(|_| std::fs::remove_dir(&service)).find(Result::is_ok);
        assert!(
            removed.is_some(),
            "{service} is in use: {:?}",
            std::fs::read_to_string(format!("{service}/cgroup.procs"))
        );
        if kill_shim {
            crate::support::host_shell(&format!("kill -9 {}", record.shim.pid));
        }
        remove(trial.dir()).await.unwrap();
    }
}

#[tokio::test]
async fn several_may_remove_a_container_at_once() {
    for _ in 0..20 {
        let trial = Trial::shell("true");
        trial.run().await;
        // Each in a thread of its own, as a worker and `tink rm` are processes of their own.
        let removals: Vec<_> = (0..4)
            .map(|_| {
                let dir = trial.dir().to_owned();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(remove(&dir))
                })
            })
            .collect();
        for removal in removals {
            removal.join().unwrap().unwrap();
        }
    }
}
