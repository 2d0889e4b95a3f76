//! The container's cgroups: one directory `tink/<id>` in every hierarchy that is mounted and writable.
//!
//! They serve three ends: finding every process of the container, also those that left its process group; telling
//! whether the kernel killed one for want of memory; and leaving the worker's own cgroup, which a service manager
//! empties when it stops the worker. No limit is set. Without any cgroup the container runs all the same.

mod hierarchy;
mod hurry;
mod kill;
mod oom;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

pub(crate) use hierarchy::{Hierarchies, Hierarchy, Version, discover};
pub(crate) use kill::{is_populated, kill_all, processes};
pub(crate) use oom::oom_kills;

/// The cgroup that holds all containers' cgroups.
const PARENT: &str = "tink";

/// The container's cgroup in each hierarchy, whether or not it exists.
pub(crate) fn paths(hierarchies: &[Hierarchy], id: &str) -> Vec<PathBuf> {
    hierarchies.iter().map(|hierarchy| path_in(hierarchy, id)).collect()
}

fn path_in(hierarchy: &Hierarchy, id: &str) -> PathBuf {
    hierarchy.mount.join(PARENT).join(id)
}

fn create_in(hierarchy: &Hierarchy, path: &Path) -> std::io::Result<()> {
    // The last container to end removes the parent: it may go between two calls, and is simply made again.
    for _ in 0..16 {
        match make_dir(path).and_then(|()| hierarchy.inherit_cpuset(path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make_dir(path.parent().unwrap_or(&hierarchy.mount))?;
            }
            done => {
                count_memory(hierarchy, path);
                return done;
            }
        }
    }
    Err(std::io::ErrorKind::NotFound.into())
}

/// Best effort: the memory controller tells of OOM kills, but a root with processes in it may not delegate.
///
/// While there is no process in the cgroup: with one, the kernel would wait as for a move, see [`hurry`].
fn count_memory(hierarchy: &Hierarchy, path: &Path) {
    if hierarchy.version == Version::V1 || path.join("memory.events").exists() {
        return;
    }
    let offered = std::fs::read_to_string(hierarchy.mount.join("cgroup.controllers")).unwrap_or_default();
    if !offered.split_ascii_whitespace().any(|controller| controller == "memory") {
        return;
    }
    for above in [hierarchy.mount.clone(), hierarchy.mount.join(PARENT)] {
        let _ = write(&above.join("cgroup.subtree_control"), "+memory");
    }
}

fn make_dir(path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The hierarchies of the machine, and the container's place in them.
pub(crate) struct Cgroups {
    pub(crate) hierarchies: Vec<Hierarchy>,
    /// One directory a hierarchy, of those that can be used.
    pub(crate) own: Vec<PathBuf>,
    /// The one that a process can be born into: that of version 2.
    pub(crate) birthplace: Option<PathBuf>,
    id: String,
    /// How many hierarchies have been tried.
    tried: usize,
}

impl Cgroups {
    /// Makes the first of them for the container `id`, that of version 2 if there is one; `left_out` hears of hierarchies
    /// that cannot be used. [`Cgroups::complete`] makes the others, for which nobody has to wait.
    pub(crate) fn begin(hierarchies: Vec<Hierarchy>, id: &str, left_out: impl Fn(&str)) -> Self {
        let mut cgroups = Self { hierarchies, own: Vec::new(), birthplace: None, id: id.to_owned(), tried: 0 };
        while cgroups.own.is_empty() && cgroups.make_next(&left_out) {}
        let unified = cgroups.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2);
        let unified = unified.map(|unified| path_in(unified, id));
        cgroups.birthplace = unified.filter(|path| cgroups.own.contains(path));
        cgroups
    }

    /// Makes those that [`Cgroups::begin`] left.
    pub(crate) fn complete(&mut self, left_out: impl Fn(&str)) {
        while self.make_next(&left_out) {}
    }

    fn make_next(&mut self, left_out: &impl Fn(&str)) -> bool {
        let Some(hierarchy) = self.hierarchies.get(self.tried) else { return false };
        self.tried += 1;
        let path = path_in(hierarchy, &self.id);
        match create_in(hierarchy, &path) {
            Ok(()) => self.own.push(path),
            Err(error) => {
                left_out(&format!("{}: {error}", hierarchy.mount.display()));
                let _ = remove(&[path]);
            }
        }
        true
    }

    /// Moves a process into each of them that it is not in; `failed` hears of those that do not take it. It may have been
    /// born in one.
    pub(crate) fn take_in(&self, process: Pid, failed: impl Fn(&Path, std::io::Error)) {
        let pid = process.as_raw_nonzero().get();
        let born_in = self.birthplace.as_deref().filter(|path| is_in(path, pid));
        join_all(self.own.iter().map(PathBuf::as_path).filter(|path| born_in != Some(*path)), pid, failed);
    }
}

/// The number that stands for the calling process.
pub(crate) const MYSELF: i32 = 0;

/// Moves a process into each of the cgroups; `failed` hears of those that do not take it.
///
/// Nothing depends on a single one: version 1's `cpu` takes no process of real-time priority, for one.
pub(crate) fn join_all<'a>(paths: impl Iterator<Item = &'a Path>, pid: i32, failed: impl Fn(&Path, std::io::Error)) {
    let mut paths = paths.peekable();
    if paths.peek().is_none() {
        return;
    }
    let _hurry = hurry::Hurry::begin();
    for path in paths {
        if let Err(error) = join(path, pid) {
            failed(path, error);
        }
    }
}

/// Whether a process is in this cgroup, of version 2, already.
fn is_in(path: &Path, pid: i32) -> bool {
    let all = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let unified = all.lines().find_map(|line| line.strip_prefix("0::"));
    // Only the end is compared: the hierarchy may be mounted from within, and no two cgroups of ours have one name.
    unified.is_some_and(|own| path.ends_with(own.trim_start_matches('/')) && own.len() > 1)
}

/// Opens a cgroup for a process to be born into.
pub(crate) fn open(path: &Path) -> Option<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Moves a process into a cgroup.
fn join(path: &Path, pid: i32) -> std::io::Result<()> {
    write(&path.join("cgroup.procs"), &pid.to_string())
}

/// Moves the calling process out of cgroups that a service manager would empty together with the worker's.
///
/// Only the hierarchies such managers use: cgroup v2 and the named one of v1. Best effort.
pub(crate) fn leave_service(hierarchies: &[Hierarchy], id: &str) -> Option<PathBuf> {
    let managed = hierarchies.iter().find(|hierarchy| hierarchy.is_managed() && !hierarchy.is_own_at_root())?;
    let path = of_shim(&path_in(managed, id));
    create_in(managed, &path).ok()?;
    let _hurry = hurry::Hurry::begin();
    join(&path, MYSELF).ok().map(|()| path)
}

/// As [`leave_service`], but to the root of the hierarchy, which nobody has to remove. Best effort.
pub(crate) fn leave_service_for_root() {
    let hierarchies = discover().unwrap_or_default();
    for managed in hierarchies.iter().filter(|hierarchy| hierarchy.is_managed() && !hierarchy.is_own_at_root()) {
        let _ = join(&managed.mount, MYSELF);
    }
}

/// The cgroup that the shim of a container would have, if it needed one, beside the container's own.
pub(crate) fn of_shim(container: &Path) -> PathBuf {
    let mut name = container.file_name().unwrap_or_default().to_owned();
    name.push(".shim");
    container.with_file_name(name)
}

/// Moves the calling process to the root of the hierarchy that `path` is in, so that `path` can be removed.
pub(crate) fn rejoin_root(path: &Path) {
    if let Some(root) = path.parent().and_then(Path::parent) {
        let _ = join(root, MYSELF);
    }
}

/// Removes cgroups with all that the container made below them. Fails with `EBUSY` while processes are in one.
pub(crate) fn remove(paths: &[PathBuf]) -> std::io::Result<()> {
    let mut result = Ok(());
    for path in paths {
        // Most containers make none below their own.
        if std::fs::remove_dir(path).is_err() {
            for below in kill::subtree(path).iter().rev() {
                if let Err(error) = std::fs::remove_dir(below)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    result = Err(error);
                }
            }
        }
        // Holds the other containers' cgroups: goes with the last of them.
        let _ = path.parent().map(std::fs::remove_dir);
    }
    result
}

/// Writes in one call, as the kernel's control files need it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::File::options().write(true).open(path)?.write_all(text.as_bytes())
}
