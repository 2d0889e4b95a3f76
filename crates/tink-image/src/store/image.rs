//! Images by name.

use std::path::PathBuf;

use tink_workflow::ImageRef;

use super::record::ImageRecord;
use super::{Held, InUse, Store, lock};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::spec::ImageConfig;
use crate::unpack::{Unpacked, Whiteouts};

/// An image in the store, ready to be mounted, that stays there while this exists.
#[derive(Debug)]
pub struct Image {
    /// Its name.
    pub reference: ImageRef,
    /// Its id: the digest of its configuration.
    pub id: Digest,
    /// Digest of what the name leads to: manifest or index.
    pub digest: Digest,
    /// How its process is started.
    pub config: ImageConfig,
    /// Directories for overlayfs, **lowest first** (overlayfs's `lowerdir` wants the highest first). At least one, no
    /// directory twice. The root directory's own attributes are those of the last one. Never write into them.
    pub layers: Vec<PathBuf>,
    /// Keeps the layers in the store.
    pub guard: InUse,
}

/// An image as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// Its name.
    pub reference: ImageRef,
    /// Its id: the digest of its configuration.
    pub id: Digest,
    /// Digest of what the name leads to.
    pub digest: Digest,
    /// Bytes of its layers, shared ones included.
    pub bytes: u64,
    /// How many directories are mounted for it.
    pub layers: usize,
}

/// What a name is to lead to.
pub(super) struct Described {
    pub(super) reference: ImageRef,
    pub(super) id: Digest,
    pub(super) digest: Digest,
    pub(super) config: ImageConfig,
}

impl Store {
    /// An image by its name, without asking any registry. Counts as a use.
    ///
    /// # Errors
    /// [`ImageError::Store`] where the file system refuses.
    pub fn get(&self, image: &ImageRef) -> Result<Option<Image>, ImageError> {
        let lock = self.lock_shared()?;
        let Some(mut record) = self.image_record(image)? else { return Ok(None) };
        let last = self.image_records(&lock)?.last().map_or(0, |record| record.used);
        if record.used < last || last == 0 {
            record.used = last + 1;
            self.write_record(&self.image_path(image), &record)?;
        }
        self.take(record)
    }

    /// All images, the one not used for longest first.
    ///
    /// # Errors
    /// [`ImageError::Store`] where the file system refuses.
    pub fn list(&self) -> Result<Vec<ImageSummary>, ImageError> {
        let lock = self.lock_shared()?;
        let mut list = Vec::new();
        for record in self.image_records(&lock)? {
            let mut bytes = 0_u64;
            for name in &record.needs {
                bytes = bytes.saturating_add(self.layer_record(name)?.map_or(0, |layer| layer.bytes));
            }
            let ImageRecord { reference, id, digest, layers, .. } = record;
            list.push(ImageSummary { reference, id, digest, bytes, layers: layers.len() });
        }
        Ok(list)
    }

    /// An image under any name that has this configuration and is complete.
    pub(super) fn find_by_id(&self, id: &Digest) -> Result<Option<Image>, ImageError> {
        let lock = self.lock_shared()?;
        for record in self.image_records(&lock)? {
            if record.id == *id
                && let Some(image) = self.take(record)?
            {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// Takes hold of all layers; `None` if one is missing or was stored for another way of mounting.
    fn take(&self, record: ImageRecord) -> Result<Option<Image>, ImageError> {
        let mut files = Vec::new();
        for name in &record.needs {
            let portable = !name.starts_with("layers/");
            if !is_layer_name(name) || portable != (self.inner.whiteouts == Whiteouts::Portable) {
                return Ok(None);
            }
            match lock::hold(&self.path(name))? {
                Some(file) => files.push(file),
                None => return Ok(None),
            }
        }
        let layers = record.layers.iter().map(|name| self.path(name)).collect();
        let ImageRecord { reference, id, digest, config, .. } = record;
        Ok(Some(Image { reference, id, digest, config, layers, guard: InUse::new(files) }))
    }

    /// Gives a name to layers that are held, lowest first.
    pub(super) fn name_image(&self, described: Described, layers: Vec<Held>) -> Result<Image, ImageError> {
        let (mounted, held) = self.compose(layers)?;
        let lock = self.lock_shared()?;
        let used = self.image_records(&lock)?.last().map_or(0, |record| record.used) + 1;
        let Described { reference, id, digest, config } = described;
        let needs = held.iter().map(|layer| layer.name.clone()).collect();
        let record = ImageRecord { reference, digest, id, config, layers: mounted, needs, used };
        self.write_record(&self.image_path(&record.reference), &record)?;
        let layers = record.layers.iter().map(|name| self.path(name)).collect();
        let ImageRecord { reference, id, digest, config, .. } = record;
        let guard = InUse::new(held.into_iter().map(|layer| layer.file).collect());
        Ok(Image { reference, id, digest, config, layers, guard })
    }

    /// A layer of nothing, for an image without any: something must be mounted.
    fn empty_layer(&self) -> Result<Held, ImageError> {
        let nothing = Digest::sha256(b"");
        let name = self.layer_name(&nothing);
        match self.hold_layer(&name)? {
            Some(held) => Ok(held),
            None => self.publish_layer(&name, self.temporary()?, &nothing, Unpacked::default()),
        }
    }

    /// Which directories are mounted, and everything that must stay for that.
    fn compose(&self, layers: Vec<Held>) -> Result<(Vec<String>, Vec<Held>), ImageError> {
        let mut held = significant(layers);
        if held.is_empty() {
            held.push(self.empty_layer()?);
        }
        if self.inner.whiteouts == Whiteouts::Portable {
            held.push(self.flat_layer(&held)?);
            let flat = held.last().map(|layer| layer.name.clone());
            return Ok((flat.into_iter().collect(), held));
        }
        held.extend(self.parents_layer(&held)?);
        Ok((held.iter().map(|layer| layer.name.clone()).collect(), held))
    }
}

/// Leaves out what changes nothing: layers below one that hides everything, earlier copies of a layer that comes again
/// (its later copy has all of it), and empty ones, except the last.
fn significant(layers: Vec<Held>) -> Vec<Held> {
    let mut kept: Vec<Held> = Vec::new();
    let mut spare = None;
    for layer in layers.into_iter().rev() {
        if kept.iter().any(|known| known.name == layer.name) {
            continue;
        }
        if layer.record.entries == 0 {
            spare.get_or_insert(layer);
            continue;
        }
        let hides_all = layer.record.root_opaque;
        kept.push(layer);
        if hides_all {
            break;
        }
    }
    if kept.is_empty() {
        kept.extend(spare);
    }
    kept.reverse();
    kept
}

/// A damaged record must not lead out of the store.
fn is_layer_name(name: &str) -> bool {
    let mut parts = name.split('/');
    let kind = parts.next();
    let rest: Vec<&str> = parts.collect();
    matches!((kind, rest.len()), (Some("layers" | "portable"), 2) | (Some("flat"), 1))
        && rest.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}
