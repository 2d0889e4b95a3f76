//! Shims that a forker became.

use tink_oci::Volume;

use crate::support::{Trial, host_shell, probe};

/// What the shim of a container shows of itself.
fn of_shim(pid: i32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap()
}

#[test]
fn the_shim_shows_whose_it_is_and_nothing_of_its_launcher() {
    let trial = Trial::shell("sleep 1000");
    let record = trial.try_launch_with(&[("TINK_TEST_PASSWORD", "hunter2")]).unwrap();
    let line = of_shim(record.shim.pid, "cmdline");
    assert_eq!(line.trim_end_matches('\0'), format!("tink-shim launch {}", trial.dir().display()));
    assert_eq!(of_shim(record.shim.pid, "comm"), "tink-shim\n");
    let environment = of_shim(record.shim.pid, "environ");
    assert!(environment.chars().all(|char| char == '\0') || line.contains(environment.trim_matches('\0')));
    assert!(!environment.contains("hunter2") && !line.contains("hunter2"), "{environment:?}");
}

#[test]
fn the_forker_ends_with_its_launcher_and_the_container_does_not() {
    let trial = Trial::shell("sleep 1000");
    let record = trial.launch();
    let forker =
        || of_shim(record.shim.pid, "status").lines().find_map(|line| line.strip_prefix("PPid:").map(parent)).unwrap();
    fn parent(pid: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/comm", pid.trim())).unwrap_or_default()
    }
    // The launcher is gone; the forker sees that a moment later.
    let gone = (0..1_000_000).any(|_| forker() != "tink-forker\n");
    assert!(gone, "the forker is still there");
    assert!(matches!(tink_oci::status(trial.dir()), Ok(tink_oci::Status::Running(_))));
}

#[test]
fn launches_go_on_when_the_forker_was_killed() {
    let mut trial = Trial::new();
    trial.spec.args = vec!["true".to_owned()];
    let path = trial.spec_file();
    let output = probe(&["bereaved", path.to_str().unwrap(), "3"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A spare makes its container's `/dev` before there is one.
#[test]
fn devices_that_came_and_went_since_the_last_start_are_known() {
    let mut trial = Trial::new();
    trial.spec.volumes.push(Volume::bind("/dev", "/machine"));
    trial.script(
        "cd /dev && seen=$(echo disk*) && cd /machine && [ \"$seen\" = \"$(echo disk*)\" ] && rm -f disk* && \
         mknod disk$(cut -c1-8 /proc/sys/kernel/random/uuid) c 1 3",
    );
    let (probe, spec) = (env!("CARGO_BIN_EXE_tink-oci-probe"), trial.spec_file());
    // A `/dev` that is no other test's.
    let dev = "mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3";
    host_shell(&format!("unshare -m sh -c '{dev} && exec {probe} bench {} 5'", spec.display()));
}
