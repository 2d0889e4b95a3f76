//! Importing images from files into the store.

use std::path::Path;

use tink_workflow::ImageRef;

use super::image::Described;
use super::pull::{begin, blocking, check_layers, parse_config};
use super::unpacking::Label;
use super::{Image, Store};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::import::{Container, Found, Saved, blob_name};
use crate::platform::Platform;
use crate::progress::{Counted, LayerProgress, LayerState, Progress};
use crate::spec::{Descriptor, ImageConfig};
use crate::unpack::Expected;

impl Store {
    /// Imports all images of a file or directory: an OCI layout (directory, `.tar`, `.tar.gz`, `.tar.zst`) or a
    /// `docker save` archive. They are verified as pulled ones are.
    ///
    /// Names come from the file; `name` overrides them and is for files that hold one image. An image of an OCI layout
    /// with neither is called after the file, with its tag.
    ///
    /// # Errors
    /// [`ImageError::Import`] where it is no such file, or any error of unpacking.
    pub async fn import(
        &self,
        path: &Path,
        name: Option<&ImageRef>,
        progress: &Progress,
    ) -> Result<Vec<Image>, ImageError> {
        let (store, path, name, progress) = (self.clone(), path.to_owned(), name.cloned(), progress.clone());
        blocking("import an image", move || store.import_blocking(&path, name.as_ref(), &progress)).await
    }

    fn import_blocking(
        &self,
        path: &Path,
        name: Option<&ImageRef>,
        progress: &Progress,
    ) -> Result<Vec<Image>, ImageError> {
        let container = Container::open(path)?;
        let mut images = Vec::new();
        if let Some(found) = container.layout_images(name, &Platform::host())? {
            single(&container, name, found.len())?;
            for one in found {
                images.push(self.import_found(&container, one, progress)?);
            }
        } else if let Some(saved) = container.saved_images(name)? {
            single(&container, name, saved.len())?;
            for one in saved {
                images.extend(self.import_saved(&container, one, progress)?);
            }
        } else {
            return Err(container.refused("it holds neither index.json (OCI layout) nor manifest.json (docker save)"));
        }
        Ok(images)
    }

    fn import_found(&self, container: &Container<'_>, found: Found, progress: &Progress) -> Result<Image, ImageError> {
        let Found { reference, digest, manifest, config, .. } = found;
        let config: ImageConfig = parse_config(&reference, &config)?;
        check_layers(&reference, &manifest, &config)?;
        progress.begin(begin(&manifest.layers));
        let mut layers = Vec::new();
        for (at, (blob, diff_id)) in manifest.layers.iter().zip(&config.rootfs.diff_ids).enumerate() {
            let label = Label::new(&reference, &blob.digest);
            let file = blob_name(&blob.digest);
            layers.push(self.import_layer(container, &file, Some(blob), diff_id, &label, (progress, at))?);
        }
        self.name_image(Described { reference, id: manifest.config.digest, digest, config }, layers)
    }

    fn import_saved(
        &self,
        container: &Container<'_>,
        saved: Saved,
        progress: &Progress,
    ) -> Result<Vec<Image>, ImageError> {
        let Saved { references, id, config, layers: names } = saved;
        let mut images = Vec::new();
        for reference in references {
            let config: ImageConfig = parse_config(&reference, &config)?;
            if names.len() != config.rootfs.diff_ids.len() {
                let detail =
                    format!("{} layers, but {} in the configuration", names.len(), config.rootfs.diff_ids.len());
                return Err(container.refused(detail));
            }
            let sized = |(name, diff_id): (&String, &Digest)| LayerProgress {
                digest: diff_id.clone(),
                bytes_done: 0,
                bytes_total: container.size(name).unwrap_or(0),
                state: LayerState::Waiting,
            };
            progress.begin(names.iter().zip(&config.rootfs.diff_ids).map(sized).collect());
            let mut layers = Vec::new();
            for (at, (name, diff_id)) in names.iter().zip(&config.rootfs.diff_ids).enumerate() {
                let label = Label::new(&reference, diff_id);
                layers.push(self.import_layer(container, name, None, diff_id, &label, (progress, at))?);
            }
            let described = Described { reference, id: id.clone(), digest: id.clone(), config };
            images.push(self.name_image(described, layers)?);
        }
        Ok(images)
    }

    fn import_layer(
        &self,
        container: &Container<'_>,
        file: &str,
        blob: Option<&Descriptor>,
        diff_id: &Digest,
        label: &Label,
        (progress, at): (&Progress, usize),
    ) -> Result<super::Held, ImageError> {
        let name = self.layer_name(diff_id);
        let _lock = self.lock_layer(&name)?;
        if let Some(held) = self.hold_layer(&name)? {
            progress.set(at, LayerState::Present);
            return Ok(held);
        }
        let expected = Expected {
            blob: blob.map(|blob| blob.digest.clone()),
            blob_bytes: blob.map(|blob| blob.size),
            diff_id: Some(diff_id.clone()),
        };
        let unpack = || {
            progress.set(at, LayerState::Waiting);
            let (source, _) = container.file(file)?.ok_or_else(|| container.refused(format!("{file} is missing")))?;
            progress.set(at, LayerState::Fetching);
            self.unpack_into(Counted { source, progress, at }, &expected, label)
        };
        let held = match unpack() {
            Err(ImageError::Layer { source, .. }) if source.is_full() && self.make_all_room()? => unpack()?,
            unpacked => unpacked?,
        };
        progress.set(at, LayerState::Done);
        Ok(held)
    }
}

fn single(container: &Container<'_>, name: Option<&ImageRef>, images: usize) -> Result<(), ImageError> {
    if name.is_some() && images != 1 {
        return Err(container.refused(format!("it holds {images} images, and one name was given")));
    }
    Ok(())
}
