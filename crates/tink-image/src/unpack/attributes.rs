//! Owner, mode, times and extended attributes of what an entry made.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::LayerError;
use super::root::failed;
use crate::tar::Entry;

/// Owner, mode and extended attributes of an open file or directory; the number of attributes that were dropped.
pub(super) fn set(fd: BorrowedFd<'_>, entry: &Entry, path: &[u8]) -> Result<u64, LayerError> {
    // In this order: a change of owner clears the setuid bits and the file's capabilities.
    rustix::fs::fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
        .map_err(|errno| failed("set the owner of", path, errno))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode)).map_err(|errno| failed("set the mode of", path, errno))?;
    let mut dropped = 0;
    for (name, value) in &entry.xattrs {
        if !is_taken(name) {
            dropped += 1;
            continue;
        }
        match rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            // tmpfs knows user.* only since Linux 6.6, ramfs knows none; an unprivileged user may set few.
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => dropped += 1,
            Err(errno) => return Err(failed("set an extended attribute of", path, errno)),
        }
    }
    Ok(dropped)
}

/// Owner of what cannot be opened: links, devices, fifos.
pub(super) fn set_owner_at(at: BorrowedFd<'_>, name: &[u8], entry: &Entry, path: &[u8]) -> Result<(), LayerError> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| failed("set the owner of", path, errno))
}

pub(super) fn set_times(fd: impl AsFd, mtime: (i64, u32), path: &[u8]) -> Result<(), LayerError> {
    rustix::fs::futimens(fd, &times(mtime)).map_err(|errno| failed("set the times of", path, errno))
}

pub(super) fn set_times_at(at: BorrowedFd<'_>, name: &[u8], entry: &Entry, path: &[u8]) -> Result<(), LayerError> {
    rustix::fs::utimensat(at, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| failed("set the times of", path, errno))
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanos) };
    Timestamps { last_access: time, last_modification: time }
}

/// Attributes that belong to an image. Those of overlayfs would change what is mounted; labels of security modules
/// belong to the machine that set them.
fn is_taken(name: &[u8]) -> bool {
    if name.starts_with(b"user.overlay.") || name.len() > 255 {
        return false;
    }
    name.starts_with(b"user.")
        || matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_the_machine_are_not_taken_from_an_image() {
        for taken in [&b"user.mime_type"[..], b"security.capability"] {
            assert!(is_taken(taken));
        }
        for dropped in [
            &b"trusted.overlay.opaque"[..],
            b"trusted.overlay.redirect",
            b"user.overlay.metacopy",
            b"security.selinux",
            b"security.ima",
            b"",
        ] {
            assert!(!is_taken(dropped));
        }
    }
}
