//! Making the assembled root file system the only one there is.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, chroot, fchdir, getcwd, pivot_root};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::rootfs::Rootfs;
use crate::failure::{Doing, StartFailure};
use crate::mountinfo;

/// Makes the root of our mount namespace our root and working directory, whatever they were.
pub(super) fn leave_chroot() -> rustix::io::Result<()> {
    let own = open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Mount))
}

/// Enters the root file system and lets go of everything else that is mounted.
pub(super) fn enter(rootfs: &Rootfs) -> Result<(), StartFailure> {
    let what = || format!("enter the root file system {}", rootfs.path().display());
    // From inside a chroot nothing can be pivoted, and mounts outside of it would stay.
    leave_chroot().and_then(|()| fchdir(rootfs.root().fd())).doing(what)?;
    match pivot_root(".", ".") {
        // The old root is now mounted over the new one.
        Ok(()) => unmount(".", UnmountFlags::DETACH).doing(|| "let go of the host's file systems".to_owned())?,
        // The root an initramfs is unpacked to cannot be pivoted away (before Linux 7.0).
        Err(Errno::INVAL) => move_over_root()?,
        Err(error) => return Err(error).doing(what),
    }
    chdir("/").doing(what)
}

/// Without pivoting: everything else is unmounted from our namespace, and the working directory, which is the new root,
/// moved over the old, which nothing can take away but which is only memory.
fn move_over_root() -> Result<(), StartFailure> {
    let what = || "move the root file system over the old one".to_owned();
    let new = PathBuf::from(OsString::from_vec(getcwd(Vec::new()).doing(what)?.into_bytes()));
    let mounts = mountinfo::read().doing(|| "list the mounts".to_owned())?;
    // From the inside out. What the new root itself is mounted in must stay.
    for mount in mounts.iter().rev().filter(|mount| !mount.point.starts_with(&new) && !new.starts_with(&mount.point)) {
        // Hidden below another mount, it cannot be named; it is of no use to anybody then.
        let _ = unmount(&mount.point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
    mount_move(&new, "/").and_then(|()| chroot(".")).doing(what)
}
