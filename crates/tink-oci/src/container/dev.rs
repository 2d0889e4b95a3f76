//! A `/dev` of the container's own, where no volume brings the host's.

use std::fs::DirEntry;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, Uid, chownat, mkdirat, mknodat, symlinkat};
use rustix::io::Errno;

use super::root::{Missing, Root};
use crate::failure::{Doing, StartFailure};

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

/// Makes a node for every device the host has now. Devices that appear later (partitions made by the container itself)
/// do not appear here; templates that partition bind `/dev`.
pub(super) fn fill(root: &Root) -> Result<(), StartFailure> {
    let dev = root.locate("/dev".as_ref(), Missing::Directory).doing(|| "open /dev".to_owned())?;
    for (name, target) in LINKS {
        // Not every kernel shows its memory; a program would take a link to nothing for it.
        if name == "core" && !Path::new(target).exists() {
            continue;
        }
        symlinkat(target, &dev, name).doing(|| format!("link /dev/{name} to {target}"))?;
    }
    let mut todo = vec![PathBuf::from("/dev")];
    while let Some(dir) = todo.pop() {
        let parent = root.locate(&dir, Missing::Refuse).doing(|| format!("open {}", dir.display()))?;
        let is_top = dir == Path::new("/dev");
        // A directory that went away meanwhile has no devices any more.
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if is_top && NOT_COPIED.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                mkdirat(&parent, entry.file_name(), Mode::from_raw_mode(0o755))
                    .doing(|| format!("make the directory {}", entry.path().display()))?;
                todo.push(entry.path());
            } else if kind.is_block_device() || kind.is_char_device() {
                copy_node(&entry, &parent).doing(|| format!("make the device {}", entry.path().display()))?;
            }
        }
    }
    Ok(())
}

fn copy_node(entry: &DirEntry, parent: &std::os::fd::OwnedFd) -> std::io::Result<()> {
    let meta = match entry.metadata() {
        Ok(meta) => meta,
        // Unplugged between the two calls.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let kind = if meta.file_type().is_block_device() { FileType::BlockDevice } else { FileType::CharacterDevice };
    match mknodat(parent, entry.file_name(), kind, Mode::from_raw_mode(meta.mode() & 0o7777), meta.rdev()) {
        // Docker-in-Docker with device rules: the device could not be opened anyway.
        Err(Errno::PERM) => return Ok(()),
        made => made?,
    }
    if meta.uid() != 0 || meta.gid() != 0 {
        let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
        chownat(parent, entry.file_name(), Some(uid), Some(gid), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}
