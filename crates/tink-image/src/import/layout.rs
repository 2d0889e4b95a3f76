//! OCI image layouts.

use tink_workflow::ImageRef;

use super::Container;
use crate::error::ImageError;
use crate::platform::Platform;
use crate::registry::{UNDESCRIBED_MAX, check, choose};
use crate::spec::{CONFIG_BYTES_MAX, Descriptor, Document, ImageConfig, Index, MANIFEST_BYTES_MAX, Manifest};

/// Annotation with an image's whole name, as containerd and Docker write it.
pub(crate) const NAME: &str = "io.containerd.image.name";
/// Annotation with the whole name or only the tag.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// An index inside an index inside an index …
const DEPTH_MAX: usize = 4;

/// An image found in a layout.
pub(crate) struct Found {
    pub(crate) reference: ImageRef,
    pub(crate) digest: crate::digest::Digest,
    pub(crate) manifest: Manifest,
    /// The manifest as it stands in the layout.
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: String,
    pub(crate) config: Vec<u8>,
}

impl Container<'_> {
    /// The images of a layout for a platform; `None` = this is no layout.
    pub(crate) fn layout_images(
        &self,
        name: Option<&ImageRef>,
        platform: &Platform,
    ) -> Result<Option<Vec<Found>>, ImageError> {
        let Some(bytes) = self.small("index.json", MANIFEST_BYTES_MAX)? else { return Ok(None) };
        let index: Index = self.json("index.json", &bytes)?;
        // One index of one image for many machines needs no index around it.
        let whole = !index.manifests.is_empty()
            && index.manifests.iter().all(|one| one.platform.is_some() && named(one).is_none());
        let platform_choice = if whole && index.manifests.len() > 1 {
            let image = self.name(&index.manifests[0], name)?;
            vec![choose(&image, platform, &index.manifests)?]
        } else {
            index.manifests.iter().collect()
        };
        let mut found = Vec::new();
        for descriptor in platform_choice {
            let reference = self.name(descriptor, name)?;
            found.push(self.found(reference, descriptor, platform)?);
        }
        Ok(Some(found))
    }

    fn found(&self, reference: ImageRef, named: &Descriptor, platform: &Platform) -> Result<Found, ImageError> {
        let mut descriptor = named.clone();
        for _ in 0..DEPTH_MAX {
            let bytes = self.verified("the manifest", &descriptor, MANIFEST_BYTES_MAX)?;
            let refused = |source| ImageError::Manifest { image: reference.to_string(), source };
            match Document::parse(&bytes, &descriptor.media_type).map_err(refused)? {
                Document::Index(index) => {
                    descriptor = match choose(&reference, platform, &index.manifests) {
                        Ok(chosen) => chosen.clone(),
                        Err(error) => self.undescribed(platform, &index.manifests)?.ok_or(error)?,
                    };
                }
                Document::Manifest(manifest) => {
                    let config = self.verified("the configuration", &manifest.config, CONFIG_BYTES_MAX)?;
                    let media_type = manifest.media_type_or(&descriptor.media_type);
                    let digest = named.digest.clone();
                    return Ok(Found { reference, digest, manifest, bytes, media_type, config });
                }
            }
        }
        Err(self.refused("its indexes lie too deep inside each other"))
    }

    /// Of manifests for which the index does not say the machine, their configurations do.
    fn undescribed(&self, platform: &Platform, offered: &[Descriptor]) -> Result<Option<Descriptor>, ImageError> {
        for named in offered.iter().filter(|one| one.platform.is_none()).take(UNDESCRIBED_MAX) {
            let bytes = self.verified("the manifest", named, MANIFEST_BYTES_MAX)?;
            let Ok(Document::Manifest(manifest)) = Document::parse(&bytes, &named.media_type) else { continue };
            let bytes = self.verified("the configuration", &manifest.config, CONFIG_BYTES_MAX)?;
            if platform.runs(&self.json::<ImageConfig>("the configuration", &bytes)?) {
                return Ok(Some(named.clone()));
            }
        }
        Ok(None)
    }

    fn verified(&self, what: &'static str, blob: &Descriptor, bytes_max: u64) -> Result<Vec<u8>, ImageError> {
        let name = blob_name(&blob.digest);
        let bytes = self.small(&name, bytes_max)?.ok_or_else(|| self.refused(format!("{name} is missing")))?;
        check(what, self.path().display().to_string(), &blob.digest, &bytes)?;
        Ok(bytes)
    }

    /// The given name, else the annotated one, else the tag on the file's own name.
    fn name(&self, descriptor: &Descriptor, given: Option<&ImageRef>) -> Result<ImageRef, ImageError> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let text = match named(descriptor) {
            Some(name) if name.contains('/') || name.contains(':') => name.to_owned(),
            tag => {
                let stem = self.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let stem = stem.split('.').next().unwrap_or_default().to_ascii_lowercase();
                format!("{stem}:{}", tag.unwrap_or("latest"))
            }
        };
        ImageRef::parse(&text).map_err(|error| {
            self.refused(format!("its name {text:?} is no image reference ({error}); give it a name when importing it"))
        })
    }
}

fn named(descriptor: &Descriptor) -> Option<&str> {
    let get = |key| descriptor.annotations.get(key).map(String::as_str).filter(|name| !name.is_empty());
    get(NAME).or_else(|| get(REF_NAME))
}

/// Where a layout keeps a blob.
pub(crate) fn blob_name(digest: &crate::digest::Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
