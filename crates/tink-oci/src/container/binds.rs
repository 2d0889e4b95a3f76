//! Volumes: host paths bound into the container.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_bind, mount_bind_recursive, mount_remount};

use super::mounts::mount_point;
use super::root::{Missing, Root, is_dir};
use crate::failure::{Doing, StartFailure};
use crate::volume::{Volume, plain};
use crate::{mountinfo, sys};

/// Binds a volume, making whatever is missing on either side: a missing source becomes a directory, as with Docker.
pub(super) fn mount_volume(volume: &Volume, stand_ins: Option<&Path>, root: &Root) -> Result<(), StartFailure> {
    let Some(source) = &volume.source else {
        let what = || format!("make the directory {} in the container", volume.target.display());
        return root.make_dir(&volume.target).doing(what);
    };
    let what = || format!("bind {} on {}", source.display(), volume.target.display());
    let from = open_source(source, stand_ins)
        .doing(|| format!("open {} to bind it on {}", source.display(), volume.target.display()))?;
    let missing = if is_dir(&from).doing(what)? { Missing::Directory } else { Missing::File };
    let to = root.locate(&volume.target, missing).doing(what)?;
    if is_dir(&to).doing(what)? != (missing == Missing::Directory) {
        let (is, has) =
            if missing == Missing::Directory { ("a directory", "a file") } else { ("a file", "a directory") };
        return Err(StartFailure::setup(format!(
            "failed to {}: the source is {is}, but the image has {has} there",
            what()
        )));
    }
    let bind = if volume.recursive { mount_bind_recursive } else { mount_bind };
    bind(mount_point(&from), mount_point(&to)).doing(what)?;
    if volume.read_only {
        make_read_only(volume, root).doing(|| format!("make {} read-only", volume.target.display()))?;
    }
    Ok(())
}

/// With what is mounted below, as Docker does it since version 25: a program that may only read the host's `/` is not to
/// write to its `/boot`.
fn make_read_only(volume: &Volume, root: &Root) -> std::io::Result<()> {
    // Located anew: this time it is what was just mounted.
    let mounted = root.locate(&volume.target, Missing::Refuse)?;
    if sys::set_mounts_read_only(mounted.as_fd()).is_ok() {
        return Ok(());
    }
    // Before Linux 5.12 one after the other.
    let top = std::fs::read_link(mount_point(&mounted))?;
    remount_read_only(&mounted)?;
    for below in mountinfo::read()?.iter().filter(|mount| mount.point != top && mount.point.starts_with(&top)) {
        let opened = open(&below.point, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        match opened.and_then(|below| remount_read_only(&below)) {
            // Hidden by what is mounted above it (of its name there is nothing, or no mount): nobody writes there either.
            Err(Errno::NOENT | Errno::INVAL) => {}
            remounted => remounted?,
        }
    }
    Ok(())
}

/// One mount alone.
fn remount_read_only(mounted: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | kept_flags(mounted)?;
    mount_remount(mount_point(mounted), flags, "")
}

fn open_source(source: &Path, stand_ins: Option<&Path>) -> std::io::Result<OwnedFd> {
    match open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => match (make_source(source), stand_ins) {
            (Ok(()), _) => open_made(source),
            // HookOS has a root that nobody can write to.
            (Err(error), Some(stand_ins)) if error.raw_os_error() == Some(Errno::ROFS.raw_os_error()) => {
                let stand_in = stand_in(source, stand_ins);
                let _ = writeln!(std::io::stderr(), "{} is read-only: took {}", source.display(), stand_in.display());
                make_source(&stand_in)?;
                open_made(&stand_in)
            }
            (Err(error), _) => Err(error),
        },
        opened => Ok(opened?),
    }
}

/// The mode is said: the container's init has no umask, and the directory stays on the host.
fn make_source(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn open_made(path: &Path) -> std::io::Result<OwnedFd> {
    Ok(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Where a source is that the host has no place for: the same for every container, so that one finds what another left,
/// and inside each other as the sources are.
fn stand_in(source: &Path, stand_ins: &Path) -> PathBuf {
    let source = plain(source);
    stand_ins.join(source.strip_prefix("/").unwrap_or(&source))
}

/// A remount sets all flags of the mount: those it has must be said again.
fn kept_flags(fd: &OwnedFd) -> rustix::io::Result<MountFlags> {
    let has = fstatvfs(fd)?.f_flag;
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    Ok(pairs.iter().filter(|(is, _)| has.contains(*is)).fold(MountFlags::empty(), |flags, (_, flag)| flags | *flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_below_its_directory_however_the_source_is_written() {
        for (source, wanted) in [
            ("/statedir", "/state/volumes/statedir"),
            ("/a/../../b/./c/", "/state/volumes/b/c"),
            ("/../..", "/state/volumes/"),
        ] {
            assert_eq!(stand_in(Path::new(source), Path::new("/state/volumes")), Path::new(wanted), "{source}");
        }
    }
}
