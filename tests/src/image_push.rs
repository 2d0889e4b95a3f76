//! Pushing images by the registry's HTTP API.

use anyhow::{Context as _, Result, bail};

use crate::BuiltImage;
use crate::http::HttpClient;

/// An image in a registry.
#[derive(Clone, Debug)]
pub struct PushedImage {
    /// What to pull: `127.0.0.1:40143/hello:v1`.
    pub reference: String,
    /// The digest of its manifest.
    pub digest: String,
}

impl PushedImage {
    /// What to pull by digest: `127.0.0.1:40143/hello@sha256:…`.
    #[must_use]
    pub fn pinned(&self) -> String {
        let name = self.reference.rsplit_once(':').map_or(self.reference.as_str(), |(name, _)| name);
        format!("{name}@{}", self.digest)
    }
}

/// Uploads what the registry lacks of an image, then its manifest under `tag`.
pub(crate) fn push(client: &HttpClient, repository: &str, tag: &str, image: &BuiltImage) -> Result<()> {
    for (digest, content) in &image.blobs {
        push_blob(client, repository, digest, content)?;
    }
    push_manifest(client, repository, tag, &image.media_type, &image.manifest)
}

fn push_blob(client: &HttpClient, repository: &str, digest: &str, content: &[u8]) -> Result<()> {
    if client.send("HEAD", &format!("/v2/{repository}/blobs/{digest}"), &[], &[])?.status() == 200 {
        return Ok(());
    }
    let begun = client.send("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], &[])?;
    if begun.status() != 202 {
        bail!("failed to begin the upload of {digest} to {repository}: status {}", begun.status());
    }
    let location = begun.headers().get("location").and_then(|location| location.to_str().ok());
    let location = location.context("the registry names no place for an upload")?;
    let separator = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{separator}digest={digest}");
    let done = client.send("PUT", &target, &[("Content-Type", "application/octet-stream")], content)?;
    if done.status() != 201 {
        bail!("failed to upload {digest} to {repository}: status {}", done.status());
    }
    Ok(())
}

/// Stores a manifest, or an index of manifests, under a tag.
pub(crate) fn push_manifest(
    client: &HttpClient,
    repository: &str,
    tag: &str,
    media_type: &str,
    manifest: &[u8],
) -> Result<()> {
    let target = format!("/v2/{repository}/manifests/{tag}");
    let mut stored = client.send("PUT", &target, &[("Content-Type", media_type)], manifest)?;
    if stored.status() != 201 {
        let reason = stored.body_mut().read_to_string().unwrap_or_default();
        bail!("failed to store {repository}:{tag}: status {}: {}", stored.status(), reason.trim_end());
    }
    Ok(())
}
