//! Images as they travel, for an engine that has a store of its own: documents as they stand, layers still packed.

use std::io::BufRead;
use std::path::Path;

use tink_workflow::ImageRef;

use crate::digest::Digest;
use crate::error::ImageError;
use crate::import::{Container, Found, Saved, blob_name};
use crate::platform::Platform;
use crate::registry::Registries;
use crate::spec::{Descriptor, ImageConfig, Manifest, media};
use crate::store::{check_layers, parse_config};

/// An image for one platform, without the bytes of its layers.
#[derive(Clone, Debug)]
pub struct PackedImage {
    /// The name.
    pub reference: ImageRef,
    /// What names the manifest.
    pub manifest: Descriptor,
    /// The manifest as it stands.
    pub manifest_bytes: Vec<u8>,
    /// What names the configuration.
    pub config: Descriptor,
    /// The configuration as it stands.
    pub config_bytes: Vec<u8>,
    /// The configuration, read.
    pub image: ImageConfig,
    /// The packed layers, lowest first; as many as `image.rootfs.diff_ids`.
    pub layers: Vec<Descriptor>,
    /// Where an archive keeps the layers.
    files: Vec<String>,
}

impl Registries {
    /// Fetches an image's manifest and configuration for the platform of the settings. With `patient` unset, a registry
    /// that does not answer is asked once.
    ///
    /// # Errors
    /// [`ImageError`]; see [`ImageError::retryable`].
    pub async fn packed(&self, image: &ImageRef, patient: bool) -> Result<PackedImage, ImageError> {
        let registries = if patient { self.clone() } else { self.impatient() };
        let resolved = registries.resolve(image).await?;
        let config_bytes = registries.small_blob(image, &resolved.manifest.config).await?;
        let bytes = resolved.bytes.to_vec();
        let named = descriptor(resolved.media_type, resolved.manifest_digest, bytes.len());
        PackedImage::new(image.clone(), named, bytes, resolved.manifest, config_bytes)
    }
}

impl PackedImage {
    fn new(
        reference: ImageRef,
        named: Descriptor,
        manifest_bytes: Vec<u8>,
        manifest: Manifest,
        config_bytes: Vec<u8>,
    ) -> Result<Self, ImageError> {
        let image = parse_config(&reference, &config_bytes)?;
        check_layers(&reference, &manifest, &image)?;
        let Manifest { mut config, layers, .. } = manifest;
        if config.media_type.is_empty() {
            media::OCI_CONFIG.clone_into(&mut config.media_type);
        }
        let files = layers.iter().map(|layer| blob_name(&layer.digest)).collect();
        Ok(Self { reference, manifest: named, manifest_bytes, config, config_bytes, image, layers, files })
    }
}

/// An archive or a directory with images: an OCI layout, or what `docker save` writes.
pub struct PackedArchive<'a>(Container<'a>);

impl<'a> PackedArchive<'a> {
    /// Opens it. Reading blocks.
    ///
    /// # Errors
    /// [`ImageError`] when it cannot be read.
    pub fn open(path: &'a Path) -> Result<Self, ImageError> {
        Container::open(path).map(Self)
    }

    /// The images in it for this machine, under all their names.
    ///
    /// # Errors
    /// [`ImageError::Import`] when it holds none.
    pub fn images(&self) -> Result<Vec<PackedImage>, ImageError> {
        if let Some(found) = self.0.layout_images(None, &Platform::host())? {
            let one = |found: Found| {
                let named = descriptor(found.media_type, Digest::sha256(&found.bytes), found.bytes.len());
                PackedImage::new(found.reference, named, found.bytes, found.manifest, found.config)
            };
            return found.into_iter().map(one).collect();
        }
        let Some(saved) = self.0.saved_images(None)? else {
            return Err(self.0.refused("it holds neither index.json (OCI layout) nor manifest.json (docker save)"));
        };
        let mut images = Vec::new();
        for one in saved {
            self.add_saved(one, &mut images)?;
        }
        Ok(images)
    }

    /// `docker save` knows no manifest: one is made, of the plain layers.
    fn add_saved(&self, saved: Saved, images: &mut Vec<PackedImage>) -> Result<(), ImageError> {
        let Saved { references, id, config, layers: files } = saved;
        for reference in references {
            let image: ImageConfig = parse_config(&reference, &config)?;
            if files.len() != image.rootfs.diff_ids.len() {
                let detail =
                    format!("{} layers, but {} in the configuration", files.len(), image.rootfs.diff_ids.len());
                return Err(self.0.refused(detail));
            }
            let mut layers = Vec::new();
            for (file, diff_id) in files.iter().zip(&image.rootfs.diff_ids) {
                let bytes = self.0.size(file).ok_or_else(|| self.0.refused(format!("{file} is missing")))?;
                layers.push(Descriptor { size: bytes, ..descriptor(media::OCI_LAYER.to_owned(), diff_id.clone(), 0) });
            }
            let manifest = Manifest {
                schema_version: 2,
                media_type: media::OCI_MANIFEST.to_owned(),
                config: descriptor(media::OCI_CONFIG.to_owned(), id.clone(), config.len()),
                layers,
            };
            let bytes = serde_json::to_vec(&manifest).map_err(|error| self.0.refused(error.to_string()))?;
            let named = descriptor(media::OCI_MANIFEST.to_owned(), Digest::sha256(&bytes), bytes.len());
            let mut one = PackedImage::new(reference, named, bytes, manifest, config.clone())?;
            one.files.clone_from(&files);
            images.push(one);
        }
        Ok(())
    }

    /// The packed bytes of a layer. Not verified.
    ///
    /// # Errors
    /// [`ImageError`] when it is not there or cannot be read.
    pub fn layer(&self, image: &PackedImage, at: usize) -> Result<Box<dyn BufRead + '_>, ImageError> {
        let file = image.files.get(at).map_or("", String::as_str);
        let (bytes, _) = self.0.file(file)?.ok_or_else(|| self.0.refused(format!("{file:?} is missing")))?;
        Ok(bytes)
    }
}

fn descriptor(media_type: String, digest: Digest, bytes: usize) -> Descriptor {
    Descriptor { media_type, digest, size: bytes as u64, platform: None, annotations: Default::default() }
}
