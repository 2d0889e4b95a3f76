//! Pushing an OCI layout.

use std::path::Path;

use tink_workflow::ImageRef;

use super::Built;
use crate::error::ImageError;
use crate::import::blob_name;
use crate::registry::{Registries, Upload};
use crate::spec::{Descriptor, Manifest, media};

/// Sends the blobs, then the manifest that names them.
pub(super) async fn push_layout(
    registries: &Registries,
    directory: &Path,
    name: &ImageRef,
    built: &Built,
) -> Result<(), ImageError> {
    let upload = Upload::new(registries, name)?;
    push_image(&upload, directory, built, name.tag().unwrap_or(built.manifest.as_str())).await
}

/// Sends each image by its digest, then the index that names them.
pub(super) async fn push_index(
    registries: &Registries,
    directory: &Path,
    name: &ImageRef,
    index: &Descriptor,
    images: &[Built],
) -> Result<(), ImageError> {
    let upload = Upload::new(registries, name)?;
    for image in images {
        push_image(&upload, directory, image, image.manifest.as_str()).await?;
    }
    let path = directory.join(blob_name(&index.digest));
    let bytes = std::fs::read(&path).map_err(|source| ImageError::File { operation: "read", path, source })?;
    upload.manifest(media::OCI_INDEX, bytes.into(), name.tag().unwrap_or(index.digest.as_str())).await
}

async fn push_image(upload: &Upload<'_>, directory: &Path, built: &Built, version: &str) -> Result<(), ImageError> {
    let path = directory.join(blob_name(&built.manifest));
    let bytes =
        std::fs::read(&path).map_err(|source| ImageError::File { operation: "read", path: path.clone(), source })?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| ImageError::Import { path, detail: error.to_string() })?;
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        upload.blob(blob, &directory.join(blob_name(&blob.digest))).await?;
    }
    upload.manifest(media::OCI_MANIFEST, bytes.into(), version).await
}
