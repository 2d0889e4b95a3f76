//! Killing everything in the container's cgroups.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How many processes are held open at one time.
const AT_ONCE: usize = 128;

/// A cgroup and all below it, parents before children; empty if it does not exist.
pub(super) fn subtree(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if path.is_dir() {
        found.push(path.to_owned());
    }
    let mut next = 0;
    while let Some(dir) = found.get(next).cloned() {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        found.extend(entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
        next += 1;
    }
    found
}

/// The processes in the cgroups and all below, each once.
pub(crate) fn processes(paths: &[PathBuf]) -> Vec<i32> {
    let mut found: Vec<i32> = paths
        .iter()
        .flat_map(|path| subtree(path))
        .filter_map(|path| std::fs::read_to_string(path.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
        // 0 is a process that our PID namespace cannot name.
        .filter(|pid| *pid > 0)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether there is a process in the cgroups or below.
pub(crate) fn is_populated(paths: &[PathBuf]) -> bool {
    // One look is enough where version 2 is among them: it takes every process, and knows of those below.
    match paths.iter().find_map(|path| std::fs::read_to_string(path.join("cgroup.events")).ok()) {
        Some(events) => events.lines().any(|line| line == "populated 1"),
        None => !processes(paths).is_empty(),
    }
}

/// Sends SIGKILL to every process in the cgroups, also to those being forked meanwhile.
///
/// At once and by the kernel where it can (`cgroup.kill`, Linux 5.14); else with the cgroup frozen, so that nobody
/// forks away; else again and again until nobody is left.
pub(crate) fn kill_all(paths: &[PathBuf]) {
    if paths.iter().any(|path| super::write(&path.join("cgroup.kill"), "1").is_ok()) {
        // A v1 process may have been moved out of the v2 cgroup, so the others are looked at, too.
        kill_each(paths);
    } else {
        kill_frozen(paths);
    }
}

fn kill_frozen(paths: &[PathBuf]) {
    let freezers: Vec<(PathBuf, &str, &str)> = paths
        .iter()
        .flat_map(|path| [(path.join("freezer.state"), "FROZEN", "THAWED"), (path.join("cgroup.freeze"), "1", "0")])
        .filter(|(file, ..)| file.exists())
        .collect();
    for (file, freeze, _) in &freezers {
        let _ = super::write(file, freeze);
    }
    // Not frozen yet, a process may still fork once between being listed and being killed; hence the rounds.
    for _ in 0..64 {
        if kill_each(paths) == 0 {
            break;
        }
        if !freezers.is_empty() {
            kill_each(paths);
            break;
        }
    }
    for (file, _, thaw) in &freezers {
        let _ = super::write(file, thaw);
    }
    kill_each(paths);
}

/// One round; returns how many there were.
fn kill_each(paths: &[PathBuf]) -> usize {
    let found = processes(paths);
    for some in found.chunks(AT_ONCE) {
        let held: Vec<(i32, OwnedFd)> = some.iter().filter_map(|pid| Some((*pid, open(*pid)?))).collect();
        // Listed once more: a process that is held and still in the cgroup is the one that was meant, and not a later one
        // with its number.
        let still = processes(paths);
        for (_, process) in held.iter().filter(|(pid, _)| still.binary_search(pid).is_ok()) {
            // Gone already is as good.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
    found.len()
}

fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Cgroups, discover, remove};

    /// A shell that forks all the time, in every cgroup of the machine whose interface has this file.
    fn restless(name: &str) -> (Vec<PathBuf>, std::process::Child) {
        let left_out = std::cell::RefCell::new(Vec::new());
        let note = |reason: &str| left_out.borrow_mut().push(reason.to_owned());
        let id = format!("test-{name}-{}", std::process::id());
        let mut cgroups = Cgroups::begin(discover().unwrap(), &id, note);
        cgroups.complete(note);
        let all = cgroups.own;
        let mut chosen = Vec::new();
        for path in all {
            if path.join(name).exists() { chosen.push(path) } else { remove(&[path]).unwrap() }
        }
        assert!(!chosen.is_empty(), "as root, on a machine with {name}: {left_out:?}");
        let joins: String = chosen.iter().map(|path| format!("echo $$ > {}/cgroup.procs; ", path.display())).collect();
        // In the foreground one that forks for ever, beside three like it: never more than these and a child each.
        let forks = "while :; do /bin/true; done";
        let script = format!("{joins} echo in; for i in 1 2 3; do ({forks}) & done; {forks}");
        let mut command = std::process::Command::new("/bin/sh");
        let mut child = command.args(["-c", &script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = [0_u8; 3];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        (chosen, child)
    }

    fn dies_frozen(name: &str) {
        let (paths, mut child) = restless(name);
        kill_frozen(&paths);
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        // The kernel takes a moment to bury what it killed; what was missed forks on and is never buried.
        let gone = (0..100_000).any(|_| !is_populated(&paths) && remove(&paths).is_ok());
        assert!(gone, "left: {:?}", processes(&paths));
    }

    #[test]
    fn forking_processes_die_in_a_frozen_cgroup_of_version_1() {
        // A machine that has only version 2 has no such hierarchy mounted.
        if discover().unwrap().iter().any(|hierarchy| hierarchy.options.split(',').any(|one| one == "freezer")) {
            dies_frozen("freezer.state");
        }
    }

    #[test]
    fn forking_processes_die_in_a_frozen_cgroup_of_version_2() {
        if discover().unwrap().iter().any(|hierarchy| hierarchy.version == crate::cgroup::Version::V2) {
            dies_frozen("cgroup.freeze");
        }
    }
}
