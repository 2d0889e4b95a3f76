//! What `docker save` writes (and `podman save`): `manifest.json`, configurations and layer tars.

use serde::Deserialize;
use tink_workflow::ImageRef;

use super::Container;
use crate::digest::Digest;
use crate::error::ImageError;
use crate::spec::{CONFIG_BYTES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// An image found in an archive.
pub(crate) struct Saved {
    pub(crate) references: Vec<ImageRef>,
    pub(crate) id: Digest,
    pub(crate) config: Vec<u8>,
    /// Names of the layer tars, lowest first.
    pub(crate) layers: Vec<String>,
}

impl Container<'_> {
    /// The images of an archive; `None` = this is no `docker save` archive.
    pub(crate) fn saved_images(&self, name: Option<&ImageRef>) -> Result<Option<Vec<Saved>>, ImageError> {
        if matches!(self, Self::Directory(_)) {
            return Ok(None);
        }
        let Some(bytes) = self.small("manifest.json", MANIFEST_BYTES_MAX)? else { return Ok(None) };
        let items: Vec<Item> = self.json("manifest.json", &bytes)?;
        let mut found = Vec::new();
        for item in items {
            let config = self.small(&item.config, CONFIG_BYTES_MAX)?;
            let config = config.ok_or_else(|| self.refused(format!("{} is missing", item.config)))?;
            let tags = item.repo_tags.unwrap_or_default();
            let mut references = Vec::new();
            for tag in &tags {
                let parsed = ImageRef::parse(tag);
                references.push(parsed.map_err(|error| self.refused(format!("the tag {tag:?}: {error}")))?);
            }
            if let Some(name) = name {
                references = vec![name.clone()];
            }
            if references.is_empty() {
                return Err(self.refused("an image in it has no name; give it one when importing it"));
            }
            let layers = item.layers.unwrap_or_default();
            if layers.len() > LAYERS_MAX {
                return Err(self.refused(format!("{} layers; at most {LAYERS_MAX} can be mounted", layers.len())));
            }
            let id = Digest::sha256(&config);
            found.push(Saved { references, id, config, layers });
        }
        Ok(Some(found))
    }
}
