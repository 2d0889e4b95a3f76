//! Layers in the store.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, XattrFlags};

use super::lock::{self, StoreLock, Temporary};
use super::record::{self, LayerRecord};
use super::{Store, store_error};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::unpack::{OPAQUE_XATTR, Unpacked, Whiteouts, escape, remove_at};

/// A layer in the store that stays while this is held.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its directory, relative to the store.
    pub(super) name: String,
    pub(super) file: OwnedFd,
    pub(super) record: LayerRecord,
}

impl Store {
    /// Where a layer lies, relative to the store.
    pub(super) fn layer_name(&self, diff_id: &Digest) -> String {
        let kind = match self.inner.whiteouts {
            Whiteouts::Overlay => "layers",
            Whiteouts::Portable => "portable",
        };
        format!("{kind}/{}/{}", diff_id.algorithm(), diff_id.hex())
    }

    /// Takes hold of a layer; `None` = it is not here.
    pub(super) fn hold_layer(&self, name: &str) -> Result<Option<Held>, ImageError> {
        let _lock = self.lock_shared()?;
        self.hold_layer_locked(name)
    }

    pub(super) fn hold_layer_locked(&self, name: &str) -> Result<Option<Held>, ImageError> {
        let path = self.path(name);
        let Some(file) = lock::hold(&path)? else { return Ok(None) };
        // A layer without its record is as good as none: it is fetched again and replaced.
        match record::read::<LayerRecord>(&record_path(&path)) {
            Ok(Some(record)) => Ok(Some(Held { name: name.to_owned(), file, record })),
            Ok(None) | Err(ImageError::Record { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a verified layer part of the store.
    pub(super) fn publish_layer(
        &self,
        name: &str,
        temporary: Temporary,
        diff_id: &Digest,
        unpacked: Unpacked,
    ) -> Result<Held, ImageError> {
        let record = LayerRecord {
            diff_id: diff_id.clone(),
            bytes: unpacked.bytes,
            entries: unpacked.entries,
            implicit: unpacked.implicit.iter().map(|path| escape(path)).collect(),
            root_opaque: unpacked.root_opaque,
            boot: Some(self.inner.boot.clone()),
        };
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| store_error("make", parent, source))?;
        }
        if path.is_dir() && self.layer_record(name)?.is_none() {
            self.discard(name)?;
        }
        let lock = self.lock_shared()?;
        // The directory is what counts, and its record must be there before it.
        self.write_record(&record_path(&path), &record)?;
        if let Some(file) = temporary.publish(&path, &lock)? {
            self.inner.ledger.stored(record.bytes);
            return Ok(Held { name: name.to_owned(), file, record });
        }
        let file = lock::hold(&path)?;
        let file =
            file.ok_or_else(|| store_error("publish", &path, std::io::Error::from(std::io::ErrorKind::NotFound)))?;
        Ok(Held { name: name.to_owned(), file, record })
    }

    /// The layers there are, by name, without their lock files.
    pub(super) fn layer_names(&self, _lock: &StoreLock) -> Result<Vec<String>, ImageError> {
        let mut names = Vec::new();
        for kind in ["layers", "portable"] {
            for algorithm in list(&self.path(kind))? {
                for name in list(&self.path(kind).join(&algorithm))? {
                    if !name.contains('.') {
                        names.push(format!("{kind}/{algorithm}/{name}"));
                    }
                }
            }
        }
        for name in list(&self.path("flat"))? {
            if !name.contains('.') {
                names.push(format!("flat/{name}"));
            }
        }
        Ok(names)
    }

    pub(super) fn layer_record(&self, name: &str) -> Result<Option<LayerRecord>, ImageError> {
        match record::read(&record_path(&self.path(name))) {
            Err(ImageError::Record { .. }) => Ok(None),
            other => other,
        }
    }

    pub(super) fn write_layer_record(&self, name: &str, record: &LayerRecord) -> Result<(), ImageError> {
        self.write_record(&record_path(&self.path(name)), record)
    }
}

/// `<hex>.json` beside `<hex>`.
pub(super) fn record_path(layer: &Path) -> std::path::PathBuf {
    layer.with_extension("json")
}

pub(super) fn list(directory: &Path) -> Result<Vec<String>, ImageError> {
    let failed = |source| store_error("list", directory, source);
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Tries out whether overlayfs's whiteouts can be made in this directory.
pub(super) fn supported_whiteouts(directory: &Path) -> Result<Whiteouts, ImageError> {
    let tmp = directory.join("tmp");
    let name = lock::random_name()?;
    let probe = tmp.join(&name);
    rustix::fs::mkdir(&probe, Mode::from_raw_mode(0o700)).map_err(|errno| store_error("make", &probe, errno))?;
    let fd = std::fs::File::open(&probe).map_err(|source| store_error("open", &probe, source))?;
    let device = rustix::fs::mknodat(&fd, "whiteout", FileType::CharacterDevice, Mode::empty(), 0);
    let opaque = rustix::fs::fsetxattr(&fd, OPAQUE_XATTR, b"y", XattrFlags::empty());
    let parent = std::fs::File::open(&tmp).map_err(|source| store_error("open", &tmp, source))?;
    remove_at(parent.as_fd(), name.as_bytes()).map_err(|errno| store_error("remove", &probe, errno))?;
    Ok(if device.is_ok() && opaque.is_ok() { Whiteouts::Overlay } else { Whiteouts::Portable })
}
