//! Machines without cgroups, or with nobody to mount them.

use std::time::Duration;

use tink_oci::{Outcome, PidNamespace, Record, Status, remove, status, stop, wait};

use crate::support::{Trial, host_shell};

const BOTH: [PidNamespace; 2] = [PidNamespace::Private, PidNamespace::Host];

/// A container that is launched where no cgroup is to be seen. In its script, `MARK` is a number that no other has.
fn bare(pid: PidNamespace, script: &str) -> Trial {
    let mut trial = Trial::new();
    trial.script(&script.replace("MARK", &mark(&trial)));
    trial.spec.pid = pid;
    trial
}

fn mark(trial: &Trial) -> String {
    trial.spec.id.replace(|letter: char| !letter.is_ascii_digit(), "") + "000"
}

fn launch(trial: &Trial) -> Record {
    let spec = trial.spec_file();
    let probe = env!("CARGO_BIN_EXE_tink-oci-probe");
    let script = format!("umount -lR /sys/fs/cgroup && exec {probe} launch {}", spec.display());
    let record: Record = serde_json::from_str(&host_shell(&format!("unshare -m sh -c '{script}'"))).unwrap();
    assert_eq!(record.cgroups, Vec::<std::path::PathBuf>::new());
    record
}

/// The processes that have the trial's number among their arguments.
fn survivors(trial: &Trial) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    let mark = mark(trial);
    lines.filter(|line| line.starts_with("sleep\0") && line.contains(&mark)).collect()
}

#[tokio::test]
async fn everything_ends_with_the_program() {
    for pid in BOTH {
        let trial = bare(pid, "setsid sh -c 'setsid sleep MARK & setsid sleep MARK' & sleep 0.1; exit 4");
        launch(&trial);
        let exit = wait(trial.dir()).await.unwrap();
        assert_eq!((exit.code(), exit.unkillable, survivors(&trial)), (4, 0, Vec::new()), "{pid:?}");
    }
}

#[tokio::test]
async fn everything_ends_when_it_is_stopped() {
    for pid in BOTH {
        let trial = bare(pid, "trap '' TERM; setsid sleep MARK & echo up; while :; do sleep MARK; done");
        launch(&trial);
        trial.printed("up").await;
        stop(trial.dir(), Duration::from_millis(10)).await.unwrap();
        let Status::Exited(exit) = status(trial.dir()).unwrap() else { panic!("not exited") };
        assert_eq!((exit.outcome, survivors(&trial)), (Outcome::Signaled { signal: 9 }, Vec::new()), "{pid:?}");
    }
}

#[tokio::test]
async fn what_outlives_a_killed_shim_is_removed_with_the_container() {
    for pid in BOTH {
        // One that became another user is not ended by the kernel when the shim is.
        let trial = bare(pid, "setsid sleep MARK & exec su -s /bin/sh web -c 'echo up; exec sleep MARK'");
        let record = launch(&trial);
        trial.printed("up").await;
        while survivors(&trial).len() < 2 {
            tokio::task::yield_now().await;
        }
        host_shell(&format!("kill -9 {}", record.shim.pid));
        assert!(wait(trial.dir()).await.is_err());
        assert_eq!(survivors(&trial).len(), 2, "{pid:?}: or nothing is shown here");
        stop(trial.dir(), Duration::ZERO).await.unwrap();
        assert_eq!(survivors(&trial), Vec::<String>::new(), "{pid:?}");
        remove(trial.dir()).await.unwrap();
    }
}
