//! A `/dev` of the container's own, where no volume brings the host's.
//!
//! The host has a hundred devices or more, so it is made before anybody asks for a container, and at the container's start
//! compared with what the host has by then.

use std::collections::HashMap;
use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dev, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, mkdirat, mknodat, open, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};
use rustix::process::umask;

use super::mounts::has_own_dev;
use crate::failure::{Doing, StartFailure};
use crate::volume::Volume;

/// What privileged containers do not get from the host's `/dev`: it is the container's own, or the terminal's.
const NOT_COPIED: [&str; 7] = ["pts", "shm", "fd", "mqueue", "console", "ptmx", "core"];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// What is mounted below.
const MOUNT_POINTS: [&str; 3] = ["pts", "shm", "mqueue"];

/// The host's.
const HOST: &str = "/dev";

/// The options of the tmpfs.
pub(super) const OPTIONS: &CStr = c"mode=755,size=65536k";

/// A `/dev` that is mounted nowhere yet.
pub(crate) struct ReadyDev {
    mount: OwnedFd,
    nodes: Nodes,
}

impl ReadyDev {
    /// Makes one, in the calling process's mount namespace.
    pub(crate) fn make() -> Result<Self, StartFailure> {
        let mount = Self::mount().doing(|| "make a tmpfs for /dev".to_owned())?;
        let mut nodes = Nodes::default();
        nodes.follow(HOST.as_ref(), mount.as_fd())?;
        Ok(Self { mount, nodes })
    }

    fn mount() -> rustix::io::Result<OwnedFd> {
        let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(tmpfs.as_fd(), "source", "tmpfs")?;
        for (name, value) in OPTIONS.to_string_lossy().split(',').filter_map(|option| option.split_once('=')) {
            fsconfig_set_string(tmpfs.as_fd(), name, value)?;
        }
        fsconfig_create(tmpfs.as_fd())?;
        // As `super::mounts` has it.
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
        fsmount(tmpfs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    }

    /// What is to be mounted.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Brings it up to what the host has now, if a container with these volumes gets it.
    pub(crate) fn update_for(&mut self, volumes: &[Volume]) -> Result<(), StartFailure> {
        if !has_own_dev(volumes) {
            return Ok(());
        }
        self.nodes.follow(HOST.as_ref(), self.mount.as_fd())
    }
}

/// Makes a node for every device the host has now, and the usual links, in an empty `/dev`. Devices that appear later
/// (partitions made by the container itself) do not appear here; templates that partition bind `/dev`.
pub(super) fn fill(dev: &OwnedFd) -> Result<(), StartFailure> {
    Nodes::default().follow(HOST.as_ref(), dev.as_fd())
}

/// What is in a `/dev` of ours, by the path below it.
#[derive(Default)]
struct Nodes {
    known: HashMap<PathBuf, Node>,
    has_links: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    Device { mode: u32, number: Dev, uid: u32, gid: u32 },
}

impl Nodes {
    /// Makes, changes and removes until `dev` has what `host` has.
    fn follow(&mut self, host: &Path, dev: BorrowedFd<'_>) -> Result<(), StartFailure> {
        let mask = umask(Mode::empty());
        let followed = self.follow_unmasked(host, dev);
        umask(mask);
        followed
    }

    fn follow_unmasked(&mut self, host: &Path, dev: BorrowedFd<'_>) -> Result<(), StartFailure> {
        if !self.has_links {
            make_links(dev)?;
            self.has_links = true;
        }
        let found = list_all(host);
        let changed = |path: &Path, node: Node, other: &HashMap<PathBuf, Node>| other.get(path) != Some(&node);
        let now: HashMap<PathBuf, Node> = found.iter().cloned().collect();
        let mut gone: Vec<_> = self.known.iter().filter(|(path, node)| changed(path, **node, &now)).collect();
        // What is deeper comes first.
        gone.sort_by(|(one, _), (other, _)| other.cmp(one));
        for (path, node) in gone {
            remove(dev, path, *node).doing(|| format!("remove /dev/{}, which is gone", path.display()))?;
        }
        for (path, node) in found.iter().filter(|(path, node)| changed(path, *node, &self.known)) {
            put(dev, path, *node).doing(|| format!("make /dev/{}", path.display()))?;
        }
        self.known = now;
        Ok(())
    }
}

fn make_links(dev: BorrowedFd<'_>) -> Result<(), StartFailure> {
    for (name, target) in LINKS {
        // Not every kernel shows its memory; a program would take a link to nothing for it.
        if name == "core" && !Path::new(target).exists() {
            continue;
        }
        symlinkat(target, dev, name).doing(|| format!("link /dev/{name} to {target}"))?;
    }
    for name in MOUNT_POINTS {
        mkdirat(dev, name, Mode::from_raw_mode(0o755)).doing(|| format!("make the directory /dev/{name}"))?;
    }
    Ok(())
}

/// The directories and devices in all of the host's directories, by their paths below it, what is deeper later.
fn list_all(host: &Path) -> Vec<(PathBuf, Node)> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        let is_top = dir.as_os_str().is_empty();
        for (name, node) in list(&host.join(&dir)) {
            if is_top && NOT_COPIED.iter().any(|own| name == *own) {
                continue;
            }
            if node == Node::Directory {
                todo.push(dir.join(&name));
            }
            found.push((dir.join(name), node));
        }
    }
    found
}

/// The directories and devices in a directory of the host's: none in one that went away meanwhile.
fn list(dir: &Path) -> Vec<(OsString, Node)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = open(dir, flags, Mode::empty()) else { return Vec::new() };
    let Ok(entries) = Dir::read_from(&dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let kind = entry.file_type();
        let is_device = matches!(kind, FileType::BlockDevice | FileType::CharacterDevice | FileType::Unknown);
        if !is_device && kind != FileType::Directory {
            continue;
        }
        let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            continue;
        }
        if kind == FileType::Directory {
            found.push((name, Node::Directory));
        } else if let Ok(meta) = statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            // Else unplugged between the two calls.
            match FileType::from_raw_mode(meta.st_mode) {
                FileType::Directory => found.push((name, Node::Directory)),
                FileType::BlockDevice | FileType::CharacterDevice => {
                    let (mode, number) = (meta.st_mode, meta.st_rdev);
                    found.push((name, Node::Device { mode, number, uid: meta.st_uid, gid: meta.st_gid }));
                }
                _ => {}
            }
        }
    }
    found
}

fn put(dev: BorrowedFd<'_>, path: &Path, node: Node) -> rustix::io::Result<()> {
    match node {
        Node::Directory => made(mkdirat(dev, path, Mode::from_raw_mode(0o755))),
        Node::Device { mode, number, uid, gid } => {
            let (kind, permissions) = (FileType::from_raw_mode(mode), Mode::from_raw_mode(mode & 0o7777));
            match mknodat(dev, path, kind, permissions, number) {
                // Docker-in-Docker with device rules: the device could not be opened anyway.
                Err(Errno::PERM) => return Ok(()),
                result => made(result)?,
            }
            if (uid, gid) != (0, 0) {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                chownat(dev, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(())
        }
    }
}

/// The place of a volume may have been made there meanwhile.
fn made(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    if result == Err(Errno::EXIST) { Ok(()) } else { result }
}

fn remove(dev: BorrowedFd<'_>, path: &Path, node: Node) -> rustix::io::Result<()> {
    let flags = if node == Node::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match unlinkat(dev, path, flags) {
        // Not made for want of permission, or in use as the place of a volume.
        Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rustix::fs::{CWD, makedev};
    use tempfile::TempDir;

    use super::*;

    /// The host's directory, the container's, and what is known of the latter.
    struct Pair {
        host: TempDir,
        own: TempDir,
        nodes: Nodes,
    }

    impl Pair {
        fn new() -> Self {
            let [host, own] = [(); 2].map(|()| tempfile::tempdir().unwrap());
            Self { host, own, nodes: Nodes::default() }
        }

        fn follow(&mut self) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dev = open(self.own.path(), flags, Mode::empty()).unwrap();
            self.nodes.follow(self.host.path(), dev.as_fd()).unwrap();
        }

        fn directory(&self, name: &str) {
            std::fs::create_dir(self.host.path().join(name)).unwrap();
            std::fs::set_permissions(self.host.path().join(name), Permissions::from_mode(0o755)).unwrap();
        }

        fn device(&self, name: &str, kind: FileType, minor: u32) {
            mknodat(CWD, self.host.path().join(name), kind, Mode::from_raw_mode(0o600), makedev(7, minor)).unwrap();
        }
    }

    /// Everything below a directory, links aside: path, mode, device, owner.
    fn content(dir: &Path) -> Vec<(String, u32, u64, u32)> {
        let mut found = Vec::new();
        let mut todo = vec![dir.to_owned()];
        while let Some(next) = todo.pop() {
            for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
                let meta = entry.metadata().unwrap();
                let path = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                if meta.is_dir() {
                    todo.push(entry.path());
                }
                if !meta.is_symlink() && !MOUNT_POINTS.contains(&path.as_str()) {
                    found.push((path, meta.mode(), if meta.is_dir() { 0 } else { meta.rdev() }, meta.uid()));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_came_went_and_changed_since_is_followed() {
        let mut pair = Pair::new();
        pair.directory("bus");
        pair.directory("bus/usb");
        pair.device("bus/usb/001", FileType::CharacterDevice, 3);
        pair.device("loop0", FileType::BlockDevice, 0);
        pair.device("loop1", FileType::BlockDevice, 1);
        pair.device("becomes", FileType::CharacterDevice, 2);
        pair.follow();
        assert_eq!(content(pair.own.path()), content(pair.host.path()));
        assert_eq!(std::fs::read_link(pair.own.path().join("stdin")).unwrap(), Path::new("/proc/self/fd/0"));

        // A partition appears, a disk is taken out and another one comes in its place, udev hands one to a user.
        pair.device("loop0p1", FileType::BlockDevice, 4);
        let host = pair.host.path().to_owned();
        std::fs::remove_file(host.join("loop1")).unwrap();
        pair.device("loop1", FileType::BlockDevice, 5);
        chownat(CWD, host.join("loop0"), Some(Uid::from_raw(1)), None, AtFlags::empty()).unwrap();
        std::fs::remove_dir_all(host.join("bus")).unwrap();
        std::fs::remove_file(host.join("becomes")).unwrap();
        pair.directory("becomes");
        pair.device("becomes/inner", FileType::CharacterDevice, 6);
        pair.follow();
        assert_eq!(content(pair.own.path()), content(&host));

        std::fs::remove_dir_all(host.join("becomes")).unwrap();
        pair.device("becomes", FileType::CharacterDevice, 7);
        pair.follow();
        assert_eq!(content(pair.own.path()), content(&host));
    }

    #[test]
    fn what_is_a_containers_own_is_not_taken_from_the_host() {
        let mut pair = Pair::new();
        pair.device("console", FileType::CharacterDevice, 0);
        pair.device("ptmx", FileType::CharacterDevice, 1);
        symlinkat("/nowhere", CWD, pair.host.path().join("cdrom")).unwrap();
        std::fs::write(pair.host.path().join("note"), "").unwrap();
        pair.follow();
        assert_eq!(content(pair.own.path()), []);
        assert_eq!(std::fs::read_link(pair.own.path().join("ptmx")).unwrap(), Path::new("pts/ptmx"));
        assert!(std::fs::symlink_metadata(pair.own.path().join("cdrom")).is_err());
    }

    #[test]
    fn the_place_of_a_volume_is_left_alone() {
        let mut pair = Pair::new();
        pair.follow();
        std::fs::write(pair.own.path().join("loop0"), "").unwrap();
        pair.device("loop0", FileType::BlockDevice, 0);
        pair.follow();
        assert!(pair.own.path().join("loop0").metadata().unwrap().is_file());
    }
}
