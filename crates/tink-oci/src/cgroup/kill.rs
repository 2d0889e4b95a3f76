//! Killing everything in the container's cgroups.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

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

/// Sends SIGKILL to every process in the cgroups, also to those being forked meanwhile.
///
/// At once and by the kernel where it can (`cgroup.kill`, Linux 5.14); else with the cgroup frozen, so that nobody
/// forks away; else again and again until nobody is left.
pub(crate) fn kill_all(paths: &[PathBuf]) {
    if paths.iter().any(|path| super::write(&path.join("cgroup.kill"), "1").is_ok()) {
        // A v1 process may have been moved out of the v2 cgroup, so the others are looked at, too.
        kill_each(paths);
        return;
    }
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
    for pid in found.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        // Gone already is as good.
        let _ = kill_process(pid, Signal::KILL);
    }
    found.len()
}
