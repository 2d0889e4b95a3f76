//! Which processes are a container's, whoever their parents are.
//!
//! Its cgroups say so. Where the machine has none, the root of such a container is mounted under the name of its state
//! directory, which every process can be asked for. (Not without overlayfs; then its program and the descendants of it are
//! all that is known.)

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::process::ProcessId;
use crate::{cgroup, mountinfo};

/// What the root is mounted as: Docker's word for it where there are cgroups.
pub(crate) fn root_name<'a>(cgroups: &[PathBuf], dir: &'a Path) -> &'a Path {
    if cgroups.is_empty() { dir } else { Path::new("overlay") }
}

/// Whether there is any.
pub(crate) fn are_there(cgroups: &[PathBuf], dir: &Path) -> bool {
    if cgroups.is_empty() { !by_root(dir).is_empty() } else { cgroup::is_populated(cgroups) }
}

/// Their numbers.
pub(crate) fn pids(cgroups: &[PathBuf], dir: &Path) -> Vec<i32> {
    if cgroups.is_empty() {
        return by_root(dir).into_iter().map(|process| process.pid).collect();
    }
    cgroup::processes(cgroups)
}

/// Sends SIGKILL to all of them.
pub(crate) fn kill_all(cgroups: &[PathBuf], dir: &Path) {
    cgroup::kill_all(cgroups);
    if cgroups.is_empty() {
        for process in by_root(dir) {
            // Gone already is as good.
            let _ = process.signal(Signal::KILL);
        }
    }
}

/// The processes that see the root of that name, and those that share a mount namespace with one: they may have made
/// another directory their root.
fn by_root(name: &Path) -> Vec<ProcessId> {
    let mut all = Vec::new();
    let mut namespaces = Vec::new();
    for pid in crate::process::all() {
        // Of one that ends meanwhile, or is dead already, nothing is read.
        let Ok(namespace) = std::fs::metadata(format!("/proc/{pid}/ns/mnt")).map(|namespace| namespace.ino()) else {
            continue;
        };
        if !namespaces.contains(&namespace) && sees(pid, name) {
            namespaces.push(namespace);
        }
        all.extend(ProcessId::of(pid).map(|process| (process, namespace)));
    }
    all.retain(|(_, namespace)| namespaces.contains(namespace));
    all.into_iter().map(|(process, _)| process).collect()
}

fn sees(pid: i32, name: &Path) -> bool {
    let mounts = mountinfo::read_of(pid).unwrap_or_default();
    mounts.iter().any(|mount| mount.kind == "overlay" && mount.source == name)
}
