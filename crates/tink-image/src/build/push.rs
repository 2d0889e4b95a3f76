//! Pushing an OCI layout.

use std::path::Path;

use tink_workflow::ImageRef;

use super::Built;
use crate::error::ImageError;
use crate::import::blob_name;
use crate::registry::{Registries, Upload};
use crate::spec::{Manifest, media};

/// Sends the blobs, then the manifest that names them.
pub(super) async fn push_layout(
    registries: &Registries,
    directory: &Path,
    name: &ImageRef,
    built: &Built,
) -> Result<(), ImageError> {
    let path = directory.join(blob_name(&built.manifest));
    let bytes =
        std::fs::read(&path).map_err(|source| ImageError::File { operation: "read", path: path.clone(), source })?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| ImageError::Import { path, detail: error.to_string() })?;
    let upload = Upload::new(registries, name)?;
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        upload.blob(blob, &directory.join(blob_name(&blob.digest))).await?;
    }
    upload.manifest(media::OCI_MANIFEST, bytes.into(), name.tag().unwrap_or(built.manifest.as_str())).await
}
