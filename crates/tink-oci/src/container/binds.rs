//! Volumes: host paths bound into the container.

use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_bind, mount_bind_recursive, mount_remount};

use super::mounts::mount_point;
use super::root::{Missing, Root, is_dir};
use crate::failure::{Doing, StartFailure};
use crate::volume::Volume;

/// Binds a volume, making whatever is missing on either side: a missing source becomes a directory, as with Docker.
pub(super) fn mount_volume(volume: &Volume, root: &Root) -> Result<(), StartFailure> {
    let Some(source) = &volume.source else {
        let what = || format!("make the directory {} in the container", volume.target.display());
        return root.make_dir(&volume.target).doing(what);
    };
    let what = || format!("bind {} on {}", source.display(), volume.target.display());
    let from =
        open_source(source).doing(|| format!("open {} to bind it on {}", source.display(), volume.target.display()))?;
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
        let what = || format!("make {} read-only", volume.target.display());
        // Located anew: this time it is what was just mounted.
        let mounted = root.locate(&volume.target, Missing::Refuse).doing(what)?;
        let flags = MountFlags::BIND | MountFlags::RDONLY | kept_flags(&mounted).doing(what)?;
        mount_remount(mount_point(&mounted), flags, "").doing(what)?;
    }
    Ok(())
}

fn open_source(source: &Path) -> std::io::Result<OwnedFd> {
    match open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => {
            // The mode is said: the container's init has no umask, and the directory stays on the host.
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(source)?;
            Ok(open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
        }
        opened => Ok(opened?),
    }
}

/// A remount sets all flags of the mount: those it has must be said again.
fn kept_flags(fd: &OwnedFd) -> std::io::Result<MountFlags> {
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
