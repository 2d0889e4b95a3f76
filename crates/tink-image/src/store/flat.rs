//! Merging portable layers into one directory, where overlayfs cannot be given whiteouts.
//!
//! Files are hard links into the layers, so merging costs no bytes; only directories are made anew.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::{Held, Store, store_error};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::unpack::{OPAQUE_NAME, Unpacked, WHITEOUT_PREFIX, remove_at, unescape};

impl Store {
    /// The merged directory of these layers, lowest first.
    pub(super) fn flat_layer(&self, layers: &[Held]) -> Result<Held, ImageError> {
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let chain = Digest::sha256(names.join("\n").as_bytes());
        let name = format!("flat/{}", chain.hex());
        let _lock = self.lock_layer(&name)?;
        if let Some(held) = self.hold_layer(&name)? {
            return Ok(held);
        }
        let temporary = self.temporary()?;
        let target = open(rustix::fs::CWD, temporary.path().as_os_str().as_encoded_bytes())
            .map_err(|errno| store_error("open", temporary.path(), errno))?;
        let mut entries = 0;
        for layer in layers {
            let implicit: BTreeSet<Vec<u8>> = layer.record.implicit.iter().filter_map(|path| unescape(path)).collect();
            let source = self.open_layer(&layer.name)?;
            let mut merge = Merge { implicit: &implicit, entries: &mut entries };
            let merged = merge.directory(&source, &target, &mut Vec::new());
            merged.map_err(|errno| store_error("merge", &self.path(&layer.name), errno))?;
            if !implicit.contains(&Vec::new()) {
                let attributes = Attributes::of(&source).and_then(|attributes| attributes.set(&target));
                attributes.map_err(|errno| store_error("merge", &self.path(&layer.name), errno))?;
            }
        }
        let unpacked = Unpacked { bytes: entries * 1024, entries, ..Unpacked::default() };
        self.publish_layer(&name, temporary, &chain, unpacked)
    }
}

struct Merge<'a> {
    implicit: &'a BTreeSet<Vec<u8>>,
    entries: &'a mut u64,
}

impl Merge<'_> {
    /// Lays one directory of a layer over the same directory of what is below it.
    fn directory(&mut self, source: &OwnedFd, target: &OwnedFd, path: &mut Vec<u8>) -> Result<(), Errno> {
        let names = names(source)?;
        // First what the layer hides, then what it has: whiteouts are for what lies below.
        if names.iter().any(|name| name == OPAQUE_NAME) {
            for name in self::names(target)? {
                remove_at(target.as_fd(), &name)?;
            }
        }
        for name in &names {
            if let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX)
                && name != OPAQUE_NAME
            {
                remove_at(target.as_fd(), hidden)?;
            }
        }
        for name in names.iter().filter(|name| !name.starts_with(WHITEOUT_PREFIX)) {
            *self.entries += 1;
            let stat = rustix::fs::statat(source, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let length = path.len();
                if length > 0 {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                self.below(source, target, name, path)?;
                path.truncate(length);
            } else {
                remove_at(target.as_fd(), name)?;
                rustix::fs::linkat(source, name.as_slice(), target, name.as_slice(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn below(&mut self, source: &OwnedFd, target: &OwnedFd, name: &[u8], path: &mut Vec<u8>) -> Result<(), Errno> {
        let source = open(source, name)?;
        let (directory, fresh) = match open(target, name) {
            Ok(directory) => (directory, false),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                remove_at(target.as_fd(), name)?;
                rustix::fs::mkdirat(target, name, Mode::from_raw_mode(0o700))?;
                (open(target, name)?, true)
            }
            Err(errno) => return Err(errno),
        };
        self.directory(&source, &directory, path)?;
        // A directory that the layer does not describe keeps what it has from below.
        if fresh || !self.implicit.contains(path) {
            Attributes::of(&source)?.set(&directory)?;
        }
        Ok(())
    }
}

fn names(directory: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn open(at: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}
