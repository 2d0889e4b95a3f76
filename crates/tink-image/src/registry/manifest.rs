//! Manifests: fetched by tag or digest, verified, and narrowed down to the one for this machine.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use tink_workflow::ImageRef;

use super::client::Call;
use super::round::Round;
use super::{BlobStream, Endpoint, Registries};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::platform::Platform;
use crate::spec::{CONFIG_BYTES_MAX, Descriptor, Document, MANIFEST_BYTES_MAX, Manifest, media};
use crate::store::parse_config;

/// Most manifests of an index that are looked into for the machine they are for.
pub(crate) const UNDESCRIBED_MAX: usize = 16;

/// What a reference leads to for one platform.
pub(crate) struct Resolved {
    /// Digest of what the reference itself names: an index, often.
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
    /// The manifest as it came.
    pub(crate) bytes: Bytes,
    /// Its digest.
    pub(crate) manifest_digest: Digest,
    /// The media type that it or the registry says.
    pub(crate) media_type: String,
}

impl Registries {
    /// Fetches the manifest that a reference names for the platform.
    pub(crate) async fn resolve(&self, image: &ImageRef) -> Result<Resolved, ImageError> {
        let wanted = image.digest().map(|digest| parse_digest(image, digest)).transpose()?;
        let version = image.digest().or(image.tag()).unwrap_or("latest");
        let (bytes, content_type) = self.manifest(image, version, wanted.as_ref()).await?;
        let digest = wanted.as_ref().map_or_else(|| Digest::sha256(&bytes), |wanted| wanted.of_same_kind(&bytes));
        let refused = |source| ImageError::Manifest { image: image.to_string(), source };
        let index = match Document::parse(&bytes, &content_type).map_err(refused)? {
            Document::Manifest(manifest) => {
                let (media_type, manifest_digest) = (manifest.media_type_or(&content_type), digest.clone());
                return Ok(Resolved { digest, manifest, bytes, manifest_digest, media_type });
            }
            Document::Index(index) => index,
        };
        let platform = self.config().platform.clone().unwrap_or_else(Platform::host);
        let chosen = match choose(image, &platform, &index.manifests) {
            Ok(chosen) => self.manifest_of(image, chosen).await?.ok_or_else(|| ImageError::Platform {
                image: image.to_string(),
                wanted: platform.to_string(),
                offered: "an index inside an index".to_owned(),
            })?,
            Err(error) => self.undescribed(image, &platform, &index.manifests).await?.ok_or(error)?,
        };
        Ok(Resolved { digest, ..chosen })
    }

    /// What a descriptor of an index leads to; `None` = to an index.
    async fn manifest_of(&self, image: &ImageRef, named: &Descriptor) -> Result<Option<Resolved>, ImageError> {
        let (bytes, content_type) = self.manifest(image, named.digest.as_str(), Some(&named.digest)).await?;
        let refused = |source| ImageError::Manifest { image: image.to_string(), source };
        let Document::Manifest(manifest) = Document::parse(&bytes, &content_type).map_err(refused)? else {
            return Ok(None);
        };
        let (media_type, manifest_digest) = (manifest.media_type_or(&content_type), named.digest.clone());
        Ok(Some(Resolved { digest: named.digest.clone(), manifest, bytes, manifest_digest, media_type }))
    }

    /// Of manifests for which the index does not say the machine, their configurations do, as every engine has it.
    async fn undescribed(
        &self,
        image: &ImageRef,
        platform: &Platform,
        offered: &[Descriptor],
    ) -> Result<Option<Resolved>, ImageError> {
        for named in offered.iter().filter(|one| one.platform.is_none()).take(UNDESCRIBED_MAX) {
            let found = match self.manifest_of(image, named).await {
                Ok(Some(found)) => found,
                // Something else than an image may stand beside it.
                Ok(None) | Err(ImageError::Manifest { .. }) => continue,
                Err(error) => return Err(error),
            };
            let config = self.small_blob(image, &found.manifest.config).await?;
            if platform.runs(&parse_config(image, &config)?) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn manifest(
        &self,
        image: &ImageRef,
        version: &str,
        wanted: Option<&Digest>,
    ) -> Result<(Bytes, String), ImageError> {
        let what = format!("the manifest of {}:{version}", image.repository());
        let able = |_, endpoint: &Endpoint| if wanted.is_some() { endpoint.pull } else { endpoint.resolve };
        let endpoints = self.endpoints(image.registry())?;
        let mut round = Round::new(self, image.registry(), &endpoints, &what);
        while let Some(at) = round.next(able) {
            match self.manifest_from(&endpoints[at], image, version, wanted, &what).await {
                Ok(answer) => {
                    round.answered(at);
                    return Ok(answer);
                }
                Err(error) => round.failed(at, error),
            }
        }
        Err(round.into_error())
    }

    async fn manifest_from(
        &self,
        endpoint: &Endpoint,
        image: &ImageRef,
        version: &str,
        wanted: Option<&Digest>,
        what: &str,
    ) -> Result<(Bytes, String), ImageError> {
        let call = Call::get(what, endpoint.url(image.repository(), &format!("manifests/{version}")))
            .header(ACCEPT, media::ACCEPT)
            .scope(image.repository(), "pull");
        let response = self.send(endpoint, &call).await?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let stated = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        let stated = stated.and_then(|stated| Digest::parse(stated).ok());
        let bytes = self.read_all(endpoint, &call, response, MANIFEST_BYTES_MAX).await?;
        if let Some(expected) = wanted.cloned().or(stated) {
            check("the manifest", endpoint.name(), &expected, &bytes)?;
        }
        Ok((bytes, content_type))
    }

    /// Fetches a small blob whole.
    pub(crate) async fn small_blob(&self, image: &ImageRef, blob: &Descriptor) -> Result<Vec<u8>, ImageError> {
        if blob.size > CONFIG_BYTES_MAX {
            let origin = image.to_string();
            return Err(ImageError::TooLarge { what: "the configuration", origin, bytes_max: CONFIG_BYTES_MAX });
        }
        let mut stream = BlobStream::new(self, image, blob, 0)?;
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await? {
            bytes.extend_from_slice(&piece);
        }
        check("the configuration", image.to_string(), &blob.digest, &bytes)?;
        Ok(bytes)
    }
}

/// The manifest for a platform.
pub(crate) fn choose<'a>(
    image: &ImageRef,
    platform: &Platform,
    offered: &'a [Descriptor],
) -> Result<&'a Descriptor, ImageError> {
    platform.choose(offered).ok_or_else(|| {
        let list: Vec<String> =
            offered.iter().filter_map(|one| one.platform.as_ref()).map(ToString::to_string).collect();
        ImageError::Platform {
            image: image.to_string(),
            wanted: platform.to_string(),
            offered: if list.is_empty() { "nothing".to_owned() } else { list.join(", ") },
        }
    })
}

pub(crate) fn check(what: &'static str, origin: String, expected: &Digest, bytes: &[u8]) -> Result<(), ImageError> {
    let found = expected.of_same_kind(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(ImageError::Digest { what, origin, expected: expected.to_string(), found: found.to_string() })
}

fn parse_digest(image: &ImageRef, digest: &str) -> Result<Digest, ImageError> {
    Digest::parse(digest).map_err(|error| ImageError::Config { image: image.to_string(), detail: error.to_string() })
}
