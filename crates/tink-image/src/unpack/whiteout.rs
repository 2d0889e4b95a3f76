//! Whiteouts: how a layer hides what lower layers have.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, Stat, XattrFlags};
use rustix::io::Errno;

use super::root::{Dir, failed, join, open_directory};
use super::{LayerError, Whiteouts};
use crate::tar::shown;

/// Marks a hidden name.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// Names that aufs kept for itself.
const META: &[u8] = b".wh..wh.";
/// Marks a directory that hides all of its lower namesakes' content.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// The same for overlayfs.
pub(crate) const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// What an entry's path says about whiteouts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sign<'a> {
    /// An ordinary entry.
    None,
    /// Leftovers of aufs, skipped by all engines.
    Meta,
    /// The directory hides what is below it.
    Opaque,
    /// This name is hidden.
    Hides(&'a [u8]),
}

/// Reads the sign off a cleaned path.
pub(super) fn sign<'a>(parts: &[&'a [u8]]) -> Result<Sign<'a>, LayerError> {
    let Some((name, parents)) = parts.split_last() else { return Ok(Sign::None) };
    if parents.iter().any(|parent| parent.starts_with(META)) {
        return Ok(Sign::Meta);
    }
    let reserved = || LayerError::Reserved { path: shown(&parts.join(&b'/')) };
    if parents.iter().any(|parent| parent.starts_with(PREFIX)) {
        return Err(reserved());
    }
    let Some(hidden) = name.strip_prefix(PREFIX) else { return Ok(Sign::None) };
    if *name == OPAQUE {
        return Ok(Sign::Opaque);
    }
    if name.starts_with(META) {
        return Ok(Sign::Meta);
    }
    match hidden {
        b"" | b"." | b".." => Err(reserved()),
        hidden => Ok(Sign::Hides(hidden)),
    }
}

/// True for overlayfs's whiteout.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Hides `name` in `dir`. What this layer itself has under that name stays: whiteouts are for lower layers.
/// True if something was made.
pub(super) fn hide(dir: &Dir, name: &[u8], how: Whiteouts) -> Result<bool, LayerError> {
    let path = join(&dir.path, name);
    if how == Whiteouts::Portable {
        return mark(dir, &[PREFIX, name].concat());
    }
    match rustix::fs::mknodat(dir.fd.as_fd(), name, FileType::CharacterDevice, Mode::empty(), 0) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => {
            let stat = rustix::fs::statat(dir.fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| failed("look at", &path, errno))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let fd = open_directory(dir.fd.as_fd(), name).map_err(|errno| failed("open", &path, errno))?;
                set_opaque(fd.as_fd(), &path)?;
            }
            Ok(false)
        }
        Err(errno) => Err(failed("make the whiteout", &path, errno)),
    }
}

/// Makes `dir` hide its lower namesakes' content.
pub(super) fn make_opaque(dir: &Dir, how: Whiteouts) -> Result<(), LayerError> {
    match how {
        Whiteouts::Overlay => set_opaque(dir.fd.as_fd(), &dir.path),
        Whiteouts::Portable => mark(dir, OPAQUE).map(drop),
    }
}

pub(super) fn set_opaque(fd: BorrowedFd<'_>, path: &[u8]) -> Result<(), LayerError> {
    rustix::fs::fsetxattr(fd, OPAQUE_XATTR, b"y", XattrFlags::empty())
        .map_err(|errno| failed("mark as opaque the directory", path, errno))
}

fn mark(dir: &Dir, name: &[u8]) -> Result<bool, LayerError> {
    match rustix::fs::mknodat(dir.fd.as_fd(), name, FileType::RegularFile, Mode::from_raw_mode(0o600), 0) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(failed("make the whiteout", &join(&dir.path, name), errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_read_off_the_last_name() {
        let read = |path: &'static str| sign(&super::super::path::components(path.as_bytes()).unwrap());
        assert_eq!(read("a/b").unwrap(), Sign::None);
        assert_eq!(read("a/.wh.b").unwrap(), Sign::Hides(b"b"));
        assert_eq!(read("a/.wh..wh..opq").unwrap(), Sign::Opaque);
        assert_eq!(read(".wh..wh.plnk/17.4").unwrap(), Sign::Meta);
        assert_eq!(read(".wh..wh.aufs").unwrap(), Sign::Meta);
        for bad in ["a/.wh.", "a/.wh..", "a/.wh...", ".wh.a/b"] {
            assert!(matches!(read(bad), Err(LayerError::Reserved { .. })), "{bad}");
        }
    }
}
