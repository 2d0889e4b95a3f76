//! Directories that a layer does not describe.
//!
//! A layer may hold `var/lib/x` without entries for `var` and `var/lib`. On disk the directories are there all the same,
//! and overlayfs would show *their* owner and mode instead of those that a lower layer gave them. As a layer is shared by
//! images with different lower layers, it cannot carry the right ones. So an image that needs it gets one more layer on
//! top, of nothing but such directories with the attributes they should show. Most images need none.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::{Held, Store, store_error};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::unpack::{OPAQUE_XATTR, Unpacked, is_whiteout, unescape};

/// One layer, seen from its root.
struct View {
    root: OwnedFd,
    implicit: BTreeSet<Vec<u8>>,
}

/// What a layer says about a directory.
enum Look {
    Directory {
        explicit: bool,
        opaque: bool,
    },
    /// The layer deletes or replaces it or something above it.
    Hidden,
    Absent,
}

impl Store {
    /// The layer of directories for these layers, lowest first, if they need one.
    pub(super) fn parents_layer(&self, layers: &[Held]) -> Result<Option<Held>, ImageError> {
        if layers.iter().all(|layer| layer.record.implicit.is_empty()) || layers.len() < 2 {
            return Ok(None);
        }
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let chain = Digest::sha256(names.join("\n").as_bytes());
        let name = format!("layers/parents/{}", chain.hex());
        if let Some(held) = self.hold_layer(&name)? {
            return Ok(Some(held));
        }
        let mut views = Vec::new();
        for layer in layers {
            let implicit = layer.record.implicit.iter().filter_map(|path| unescape(path)).collect();
            views.push(View { root: self.open_layer(&layer.name)?, implicit });
        }
        let wanted = wanted(&views).map_err(|errno| store_error("look at", &self.path(&name), errno))?;
        if wanted.is_empty() {
            return Ok(None);
        }
        let temporary = self.temporary()?;
        make(temporary.path(), &wanted).map_err(|errno| store_error("make", temporary.path(), errno))?;
        let entries = wanted.len() as u64;
        let unpacked = Unpacked { bytes: entries * 1024, entries, ..Unpacked::default() };
        self.publish_layer(&name, temporary, &chain, unpacked).map(Some)
    }

    pub(super) fn open_layer(&self, name: &str) -> Result<OwnedFd, ImageError> {
        let path = self.path(name);
        open(rustix::fs::CWD, path.as_os_str().as_encoded_bytes()).map_err(|errno| store_error("open", &path, errno))
    }
}

fn open(at: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Every directory that must be in the further layer, those above them included, with its attributes.
fn wanted(views: &[View]) -> Result<BTreeMap<Vec<u8>, Attributes>, Errno> {
    let mut wanted = BTreeMap::new();
    let paths: BTreeSet<&Vec<u8>> = views.iter().flat_map(|view| &view.implicit).collect();
    for path in paths {
        let Some((shown, source)) = effective(views, path)? else { continue };
        if shown == source {
            continue;
        }
        let meant = attributes(&views[source], path)?;
        if meant.same_as(&attributes(&views[shown], path)?) {
            continue;
        }
        for at in path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).chain([0]) {
            let above = &path[..at];
            if let Some((_, source)) = effective(views, above)? {
                wanted.insert(above.to_vec(), attributes(&views[source], above)?);
            }
        }
        wanted.insert(path.clone(), meant);
    }
    Ok(wanted)
}

/// The layer whose directory overlayfs would show, and the one whose attributes it should have.
fn effective(views: &[View], path: &[u8]) -> Result<Option<(usize, usize)>, Errno> {
    let mut shown = None;
    for (at, view) in views.iter().enumerate().rev() {
        match look(view, path)? {
            Look::Directory { explicit: true, .. } => return Ok(Some((shown.unwrap_or(at), at))),
            Look::Directory { explicit: false, opaque } => {
                shown.get_or_insert(at);
                if opaque {
                    break;
                }
            }
            Look::Hidden => break,
            Look::Absent => {}
        }
    }
    Ok(shown.map(|shown| (shown, shown)))
}

fn look(view: &View, path: &[u8]) -> Result<Look, Errno> {
    let mut here = view.root.try_clone().map_err(|_| Errno::MFILE)?;
    let mut opaque = false;
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        opaque |= is_opaque(&here);
        match rustix::fs::statat(&here, part, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(if opaque { Look::Hidden } else { Look::Absent }),
            Err(errno) => return Err(errno),
            Ok(stat) if is_whiteout(&stat) => return Ok(Look::Hidden),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => return Ok(Look::Hidden),
            Ok(_) => here = open(&here, part)?,
        }
    }
    Ok(Look::Directory { explicit: !view.implicit.contains(path), opaque })
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0_u8; 1];
    matches!(rustix::fs::fgetxattr(directory, OPAQUE_XATTR, &mut value[..]), Ok(1)) && value == *b"y"
}

fn attributes(view: &View, path: &[u8]) -> Result<Attributes, Errno> {
    let directory =
        if path.is_empty() { view.root.try_clone().map_err(|_| Errno::MFILE)? } else { open(&view.root, path)? };
    Attributes::of(directory)
}

/// The paths are sorted: what lies above comes first.
fn make(top: &std::path::Path, wanted: &BTreeMap<Vec<u8>, Attributes>) -> Result<(), Errno> {
    let top = open(rustix::fs::CWD, top.as_os_str().as_encoded_bytes())?;
    for (path, attributes) in wanted {
        let directory = if path.is_empty() {
            top.try_clone().map_err(|_| Errno::MFILE)?
        } else {
            rustix::fs::mkdirat(&top, path.as_slice(), Mode::from_raw_mode(0o700))?;
            open(&top, path)?
        };
        attributes.set(&directory)?;
    }
    // Making what lies inside changed the times.
    for (path, attributes) in wanted {
        attributes.set_times(if path.is_empty() {
            top.try_clone().map_err(|_| Errno::MFILE)?
        } else {
            open(&top, path)?
        })?;
    }
    Ok(())
}
