//! A directory's attributes, read from one and set on another.

use std::os::fd::AsFd;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// Bytes for a list of names, or for one value: the kernel's own limit.
const XATTR_BYTES_MAX: usize = 65_536;

/// Names and values, sorted.
type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Owner, mode, times and extended attributes.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    uid: u32,
    gid: u32,
    mode: u32,
    mtime: Timespec,
    xattrs: Xattrs,
}

impl Attributes {
    pub(super) fn of(directory: impl AsFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(&directory)?;
        // Kernels differ in the type of the nanoseconds, never in their range.
        let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        let mtime = Timespec { tv_sec: stat.st_mtime, tv_nsec: nanos };
        let mode = stat.st_mode & 0o7777;
        Ok(Self { uid: stat.st_uid, gid: stat.st_gid, mode, mtime, xattrs: xattrs(&directory)? })
    }

    /// Equal in all but times.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        (self.uid, self.gid, self.mode, &self.xattrs) == (other.uid, other.gid, other.mode, &other.xattrs)
    }

    pub(super) fn set(&self, directory: impl AsFd) -> Result<(), Errno> {
        rustix::fs::fchown(&directory, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(self.mode))?;
        for (name, value) in &self.xattrs {
            rustix::fs::fsetxattr(&directory, name.as_slice(), value, XattrFlags::empty())?;
        }
        self.set_times(&directory)
    }

    pub(super) fn set_times(&self, directory: impl AsFd) -> Result<(), Errno> {
        let times = Timestamps { last_access: self.mtime, last_modification: self.mtime };
        rustix::fs::futimens(directory, &times)
    }
}

/// All but the marks that say what a layer hides.
fn xattrs(directory: impl AsFd) -> Result<Xattrs, Errno> {
    let mut list = vec![0_u8; XATTR_BYTES_MAX];
    let len = match rustix::fs::flistxattr(&directory, &mut list[..]) {
        Ok(len) => len,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let mut found = Vec::new();
    for name in list[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.") || name.starts_with(b"security.selinux") {
            continue;
        }
        let mut value = vec![0_u8; XATTR_BYTES_MAX];
        let len = rustix::fs::fgetxattr(&directory, name, &mut value[..])?;
        value.truncate(len);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}
