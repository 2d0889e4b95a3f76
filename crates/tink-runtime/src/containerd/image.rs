//! Images that containerd has.

use std::collections::HashMap;

use serde::Deserialize;
use tink_containerd::services::images::v1::images_client::ImagesClient;
use tink_containerd::services::images::v1::{CreateImageRequest, GetImageRequest, Image, UpdateImageRequest};
use tink_containerd::types::Descriptor as Target;
use tink_image::{Descriptor, Digest, Hasher, ImageConfig, Platform};
use tink_workflow::ImageRef;
use tonic::Code;

use super::ContainerdRuntime;
use super::call::{Failure, SHORT, call, or_none};

/// Of an index or a manifest.
const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Of an image configuration.
const CONFIG_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is needed to start a container of an image.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) config: ImageConfig,
    /// Digest of the manifest.
    pub(super) manifest: Digest,
    /// The snapshot of all layers; empty for an image without layers.
    pub(super) chain: String,
}

/// Just enough of an index or a manifest.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
}

/// The image's name in containerd: a digest says more than the tag beside it.
pub(super) fn name(image: &ImageRef) -> String {
    let repository = format!("{}/{}", image.registry(), image.repository());
    match image.digest() {
        Some(digest) => format!("{repository}@{digest}"),
        None => format!("{repository}:{}", image.version()),
    }
}

/// The snapshots of the layers, lowest first, by the names that containerd and its other clients give them.
pub(super) fn chains(config: &ImageConfig) -> Vec<String> {
    let mut chains: Vec<String> = Vec::new();
    for diff_id in &config.rootfs.diff_ids {
        let chain = match chains.last() {
            None => diff_id.to_string(),
            Some(parent) => {
                let mut hasher = Hasher::sha256();
                hasher.update(format!("{parent} {diff_id}").as_bytes());
                hasher.finish().to_string()
            }
        };
        chains.push(chain);
    }
    chains
}

impl ContainerdRuntime {
    /// The image, if it is there and unpacked.
    pub(super) async fn unpacked(&self, image: &ImageRef) -> Result<Option<Unpacked>, Failure> {
        let request = self.request(GetImageRequest { name: name(image) });
        let found = or_none(call(SHORT, ImagesClient::new(self.channel.clone()).get(request)).await)?;
        let Some(target) = found.and_then(|found| found.image).and_then(|image| image.target) else { return Ok(None) };
        let Some((manifest, config)) = self.config_of(&target.digest).await? else { return Ok(None) };
        let chain = chains(&config).pop().unwrap_or_default();
        if !chain.is_empty() && !self.has_snapshot(&chain).await? {
            return Ok(None);
        }
        let Ok(manifest) = Digest::parse(&manifest) else { return Ok(None) };
        Ok(Some(Unpacked { config, manifest, chain }))
    }

    /// Digest of the manifest for this machine, and its configuration; `None` where a part is missing or no image.
    async fn config_of(&self, target: &str) -> Result<Option<(String, ImageConfig)>, Failure> {
        let mut digest = target.to_owned();
        // An index, then a manifest.
        for _ in 0..3 {
            let Some(bytes) = self.read_content(&digest, DOCUMENT_BYTES_MAX).await? else { return Ok(None) };
            let Ok(document) = serde_json::from_slice::<Document>(&bytes) else { return Ok(None) };
            if let Some(config) = document.config {
                let bytes = self.read_content(config.digest.as_str(), CONFIG_BYTES_MAX).await?;
                let config = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                return Ok(config.map(|config| (digest, config)));
            }
            match Platform::host().choose(&document.manifests) {
                Some(chosen) => digest = chosen.digest.to_string(),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Gives a manifest a name.
    pub(super) async fn name_image(&self, image: &ImageRef, manifest: &Descriptor) -> Result<(), Failure> {
        let target = Target {
            media_type: manifest.media_type.clone(),
            digest: manifest.digest.to_string(),
            size: i64::try_from(manifest.size).unwrap_or(i64::MAX),
            annotations: HashMap::new(),
        };
        let image = Image { name: name(image), target: Some(target), ..Image::default() };
        let mut client = ImagesClient::new(self.channel.clone());
        let create = self.request(CreateImageRequest { image: Some(image.clone()) });
        match call(SHORT, client.create(create)).await {
            Err(failure) if failure.is(Code::AlreadyExists) => {
                let update_mask = Some(prost_types::FieldMask { paths: vec!["target".to_owned()] });
                let update = self.request(UpdateImageRequest { image: Some(image), update_mask });
                call(SHORT, client.update(update)).await.map(drop)
            }
            created => created.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_and_a_digest_says_more_than_a_tag() {
        assert_eq!(name(&ImageRef::parse("alpine").unwrap()), "docker.io/library/alpine:latest");
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = ImageRef::parse(&format!("quay.io/a/b:v1@{digest}")).unwrap();
        assert_eq!(name(&image), format!("quay.io/a/b@{digest}"));
    }

    /// The example of the OCI image specification, with its formula carried out by `sha256sum`.
    #[test]
    fn a_chain_names_all_layers_below() {
        let mut config = ImageConfig::default();
        assert!(chains(&config).is_empty());
        let digest = |letter: char| Digest::parse(&format!("sha256:{}", letter.to_string().repeat(64))).unwrap();
        config.rootfs.diff_ids = vec![digest('a'), digest('b')];
        let second = "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c";
        assert_eq!(chains(&config), [digest('a').as_str(), second]);
    }
}
