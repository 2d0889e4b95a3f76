//! Dropping what is not in use, oldest first, and sweeping up after killed processes.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use tink_workflow::ImageRef;

use super::lock::{self, StoreLock};
use super::record::ImageRecord;
use super::{Store, layer, store_error};
use crate::error::ImageError;

/// What was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Names of images.
    pub images: Vec<ImageRef>,
    /// Bytes of layers, as charged to the budget.
    pub bytes: u64,
}

impl Store {
    /// Drops unused images, the one not used for longest first, until at most `keep_bytes` are taken; 0 = all unused.
    /// Blocks on the file system.
    ///
    /// # Errors
    /// [`ImageError::Store`] where the file system refuses.
    pub fn gc(&self, keep_bytes: u64) -> Result<Reclaimed, ImageError> {
        self.drop_until(|taken| taken <= keep_bytes)
    }

    /// Makes room for `more` bytes within the budget, as far as that is possible.
    pub(super) fn make_room(&self, more: u64) -> Result<(), ImageError> {
        let reclaimed = self.drop_until(|_| self.inner.ledger.excess(more) == 0)?;
        if !reclaimed.images.is_empty() {
            let names: Vec<String> = reclaimed.images.iter().map(ToString::to_string).collect();
            tracing::info!(images = names.join(", "), bytes = reclaimed.bytes, "dropped images to make room");
        }
        Ok(())
    }

    /// Drops all that is unused: the file system itself has no room. False where there was nothing to drop.
    pub(super) fn make_all_room(&self) -> Result<bool, ImageError> {
        let reclaimed = self.gc(0)?;
        let names: Vec<String> = reclaimed.images.iter().map(ToString::to_string).collect();
        tracing::warn!(
            images = names.join(", "),
            bytes = reclaimed.bytes,
            "the image store's file system is full; dropped what is not in use"
        );
        Ok(reclaimed.bytes > 0)
    }

    /// Counts what other processes may have added or dropped, and looks how much is free.
    pub(super) fn recount(&self) -> Result<(), ImageError> {
        let lock = self.lock_shared()?;
        self.count(&lock).map(drop)
    }

    fn drop_until(&self, enough: impl Fn(u64) -> bool) -> Result<Reclaimed, ImageError> {
        let mut doomed = Vec::new();
        let reclaimed = {
            let lock = self.lock_exclusive()?;
            let mut taken = self.count(&lock)?;
            let mut records = self.image_records(&lock)?;
            let mut reclaimed = Reclaimed::default();
            // What no image needs goes first: leftovers of failed pulls.
            let orphans = self.unneeded(&records, &lock)?;
            self.drop_layers(orphans, &mut taken, &mut reclaimed, &mut doomed, &enough)?;
            let mut at = 0;
            while !enough(taken) && at < records.len() {
                if !self.is_droppable(&records[at])? {
                    at += 1;
                    continue;
                }
                let record = records.remove(at);
                self.forget(&record)?;
                let orphans = self.unneeded(&records, &lock)?;
                reclaimed.images.push(record.reference);
                self.drop_layers(orphans, &mut taken, &mut reclaimed, &mut doomed, &|_: u64| false)?;
            }
            reclaimed
        };
        for path in doomed {
            lock::remove_tree(&path)?;
        }
        Ok(reclaimed)
    }

    /// Removes an image's name, and its layers as far as nothing else needs or uses them.
    ///
    /// # Errors
    /// [`ImageError::NotHere`], [`ImageError::InUse`] or [`ImageError::Store`].
    pub fn remove(&self, image: &ImageRef) -> Result<Reclaimed, ImageError> {
        let mut doomed = Vec::new();
        let reclaimed = {
            let lock = self.lock_exclusive()?;
            let record = self.image_record(image)?.ok_or_else(|| ImageError::NotHere { image: image.to_string() })?;
            let mut others = self.image_records(&lock)?;
            others.retain(|other| other.reference != *image);
            // Another name for the same layers keeps them: then only the name goes.
            let shared = others.iter().any(|other| other.layers == record.layers);
            if !shared && !self.is_droppable(&record)? {
                return Err(ImageError::InUse { image: image.to_string() });
            }
            self.forget(&record)?;
            let mut taken = self.count(&lock)?;
            let mut reclaimed = Reclaimed { images: vec![image.clone()], bytes: 0 };
            let orphans = self.unneeded(&others, &lock)?;
            self.drop_layers(orphans, &mut taken, &mut reclaimed, &mut doomed, &|_: u64| false)?;
            reclaimed
        };
        for path in doomed {
            lock::remove_tree(&path)?;
        }
        Ok(reclaimed)
    }

    /// Puts layers on disk that were written since the machine started. Without it they are fetched again after a power
    /// loss; a killed process alone loses nothing. Blocks; to be called when there is nothing more urgent.
    ///
    /// # Errors
    /// [`ImageError::Store`] where the file system refuses.
    pub fn settle(&self) -> Result<(), ImageError> {
        let lock = self.lock_shared()?;
        let mut unsettled = Vec::new();
        for name in self.layer_names(&lock)? {
            if let Some(record) = self.layer_record(&name)?
                && record.boot.is_some()
            {
                unsettled.push((name, record));
            }
        }
        if unsettled.is_empty() {
            return Ok(());
        }
        let directory =
            std::fs::File::open(self.directory()).map_err(|source| store_error("open", self.directory(), source))?;
        rustix::fs::syncfs(&directory).map_err(|errno| store_error("sync", self.directory(), errno))?;
        let mut folders = BTreeSet::new();
        for (name, mut record) in unsettled {
            record.boot = None;
            self.write_layer_record(&name, &record)?;
            folders.extend(self.path(&name).parent().map(Path::to_owned));
        }
        // A record is replaced by a rename, which a power loss may undo until its folder is on disk.
        for folder in folders {
            let synced = std::fs::File::open(&folder).and_then(|folder| folder.sync_all());
            synced.map_err(|source| store_error("sync", &folder, source))?;
        }
        Ok(())
    }

    /// Removes what killed processes left in `tmp`, and layers that a power loss may have damaged.
    pub(super) fn sweep(&self) -> Result<(), ImageError> {
        let lock = self.lock_exclusive()?;
        let tmp = self.path("tmp");
        for name in layer::list(&tmp)? {
            let path = tmp.join(&name);
            let Ok(file) = std::fs::File::open(&path) else { continue };
            // Locked = somebody is at work on it.
            if lock::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok() {
                lock::remove_tree(&path)?;
            }
        }
        for name in self.layer_names(&lock)? {
            let trusted = match self.layer_record(&name)? {
                Some(record) => record.boot.is_none_or(|boot| boot == self.inner.boot),
                None => false,
            };
            if !trusted {
                tracing::info!(
                    layer = name,
                    "dropping a layer that was not known to be on disk before the machine stopped"
                );
                lock::remove_tree(&self.bury(&name)?)?;
            }
        }
        self.count(&lock)?;
        Ok(())
    }

    /// Removes a layer without a record, of which nobody knows what it holds. One in use is what it was when it was taken.
    pub(super) fn discard(&self, name: &str) -> Result<(), ImageError> {
        let lock = self.lock_exclusive()?;
        let path = self.path(name);
        if !path.is_dir() || self.layer_record(name)?.is_some() || !lock::is_free(&path)? {
            return Ok(());
        }
        let grave = self.bury(name)?;
        drop(lock);
        lock::remove_tree(&grave)
    }

    /// Counts the bytes of all layers.
    fn count(&self, lock: &StoreLock) -> Result<u64, ImageError> {
        let mut sum = 0_u64;
        for name in self.layer_names(lock)? {
            sum = sum.saturating_add(self.layer_record(&name)?.map_or(0, |record| record.bytes));
        }
        self.inner.ledger.counted(self.directory(), sum);
        Ok(sum)
    }

    /// True if not all of the image's layers are held by somebody.
    fn is_droppable(&self, record: &ImageRecord) -> Result<bool, ImageError> {
        for name in &record.layers {
            let path = self.path(name);
            if !path.is_dir() || lock::is_free(&path)? {
                return Ok(true);
            }
        }
        Ok(record.layers.is_empty())
    }

    /// Layers that no image needs and nobody holds.
    fn unneeded(&self, records: &[ImageRecord], lock: &StoreLock) -> Result<Vec<String>, ImageError> {
        let needed: BTreeSet<&String> = records.iter().flat_map(|record| &record.needs).collect();
        let mut names = Vec::new();
        for name in self.layer_names(lock)? {
            if !needed.contains(&name) && lock::is_free(&self.path(&name))? {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn drop_layers(
        &self,
        names: Vec<String>,
        taken: &mut u64,
        reclaimed: &mut Reclaimed,
        doomed: &mut Vec<PathBuf>,
        enough: &impl Fn(u64) -> bool,
    ) -> Result<(), ImageError> {
        for name in names {
            if enough(*taken) {
                break;
            }
            let bytes = self.layer_record(&name)?.map_or(0, |record| record.bytes);
            doomed.push(self.bury(&name)?);
            *taken = taken.saturating_sub(bytes);
            reclaimed.bytes += bytes;
            self.inner.ledger.dropped(bytes);
        }
        Ok(())
    }

    fn forget(&self, record: &ImageRecord) -> Result<(), ImageError> {
        let path = self.image_path(&record.reference);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(store_error("remove", &path, source)),
            _ => Ok(()),
        }
    }

    /// Moves a layer into `tmp`, where it is out of sight at once.
    fn bury(&self, name: &str) -> Result<PathBuf, ImageError> {
        let path = self.path(name);
        let grave = self.path("tmp").join(lock::random_name()?);
        std::fs::rename(&path, &grave).map_err(|source| store_error("remove", &path, source))?;
        let record = layer::record_path(&path);
        match std::fs::remove_file(&record) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(store_error("remove", &record, source)),
            _ => Ok(grave),
        }
    }
}
