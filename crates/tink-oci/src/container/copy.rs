//! The layers' content copied into one directory, where overlayfs cannot be.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{DirEntry, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, lgetxattr, llistxattr,
    lsetxattr, mknodat, utimensat,
};
use rustix::io::Errno;

use crate::failure::{Doing, StartFailure};

/// Marks a directory whose lower layers do not shine through.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Copies the layers, lowest first, into `into`, with whiteouts applied.
pub(super) fn copy_layers(layers: &[PathBuf], into: &Path) -> Result<(), StartFailure> {
    for layer in layers {
        let mut copy = Copy { links: HashMap::new() };
        copy.directory(layer, into).doing(|| format!("copy the layer {}", layer.display()))?;
    }
    Ok(())
}

struct Copy {
    /// Where the first of several hard links to a file went.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Copy {
    /// Copies a directory's content and its own attributes. Recursion is as deep as the image's directories.
    fn directory(&mut self, from: &Path, to: &Path) -> std::io::Result<()> {
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            self.entry(&entry, &to.join(entry.file_name()))?;
        }
        // Last, for the content changes the time.
        copy_attributes(from, to, &std::fs::symlink_metadata(from)?)
    }

    fn entry(&mut self, entry: &DirEntry, to: &Path) -> std::io::Result<()> {
        let (from, meta) = (entry.path(), entry.metadata()?);
        let kind = meta.file_type();
        if kind.is_char_device() && meta.rdev() == 0 {
            return remove(to);
        }
        if kind.is_dir() {
            if is_opaque(&from) || !std::fs::symlink_metadata(to).is_ok_and(|below| below.is_dir()) {
                remove(to)?;
                std::fs::create_dir(to)?;
            }
            return self.directory(&from, to);
        }
        remove(to)?;
        if meta.nlink() > 1 {
            if let Some(first) = self.links.get(&(meta.dev(), meta.ino())) {
                return std::fs::hard_link(first, to);
            }
            self.links.insert((meta.dev(), meta.ino()), to.to_owned());
        }
        if kind.is_symlink() {
            symlink(std::fs::read_link(&from)?, to)?;
        } else if kind.is_file() {
            std::fs::copy(&from, to)?;
        } else {
            let kind = FileType::from_raw_mode(meta.mode());
            mknodat(CWD, to, kind, Mode::from_raw_mode(meta.mode() & 0o7777), meta.rdev())?;
        }
        copy_attributes(&from, to, &meta)
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0_u8; 4];
    lgetxattr(path, OPAQUE, &mut value).is_ok_and(|length| value.get(..length) == Some(b"y"))
}

fn copy_attributes(from: &Path, to: &Path, meta: &Metadata) -> std::io::Result<()> {
    let owner = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
    chownat(CWD, to, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
    if !meta.file_type().is_symlink() {
        // After the owner, whose change takes the set-user-id bit away.
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    copy_xattrs(from, to)?;
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// File capabilities above all. A file system without extended attributes loses them, as it must.
fn copy_xattrs(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut names = vec![0_u8; 64 * 1024];
    let length = match llistxattr(from, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        length => length?,
    };
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let name = CString::new(name).map_err(std::io::Error::other)?;
        let mut value = vec![0_u8; 64 * 1024];
        let length = lgetxattr(from, name.as_c_str(), &mut value)?;
        match lsetxattr(to, name.as_c_str(), value.get(..length).unwrap_or_default(), XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => return Ok(()),
            set => set?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_layers_replace_hide_and_make_opaque() {
        let dir = tempfile::tempdir().unwrap();
        let (lower, upper, into) = (dir.path().join("lower"), dir.path().join("upper"), dir.path().join("into"));
        for path in ["lower/keep", "lower/opaque", "upper/keep", "upper/opaque", "into"] {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for path in ["keep/a", "keep/gone", "opaque/old"] {
            std::fs::write(lower.join(path), "lower").unwrap();
        }
        std::fs::hard_link(lower.join("keep/a"), lower.join("keep/same")).unwrap();
        std::fs::write(upper.join("opaque/new"), "upper").unwrap();
        symlink("/outside", upper.join("keep/link")).unwrap();
        std::fs::set_permissions(upper.join("opaque/new"), std::fs::Permissions::from_mode(0o4711)).unwrap();
        mknodat(CWD, upper.join("keep/gone"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        lsetxattr(upper.join("opaque"), OPAQUE, b"y", XattrFlags::empty()).unwrap();

        copy_layers(&[lower, upper], &into).unwrap();

        assert!(into.join("keep/a").exists() && !into.join("keep/gone").exists());
        assert_eq!(into.join("keep/a").metadata().unwrap().ino(), into.join("keep/same").metadata().unwrap().ino());
        assert!(into.join("opaque/new").exists() && !into.join("opaque/old").exists());
        assert_eq!(into.join("opaque/new").metadata().unwrap().mode() & 0o7777, 0o4711);
        assert_eq!(std::fs::read_link(into.join("keep/link")).unwrap(), Path::new("/outside"));
    }
}
