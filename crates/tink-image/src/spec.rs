//! The JSON documents of an image: index, manifest, configuration, in OCI's and Docker's media types.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;
use crate::platform::Platform;

/// Largest manifest or index taken from outside, in bytes (the distribution specification's limit).
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Largest image configuration taken from outside, in bytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most layers an image may have. overlayfs takes 500 lower directories, but their names must fit into the one page that
/// mount options may have; Docker makes no image of more than 127.
pub(crate) const LAYERS_MAX: usize = 200;

/// Media types by name.
pub(crate) mod media {
    pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub(crate) const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub(crate) const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
    pub(crate) const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

    /// What is asked for when a manifest is fetched.
    pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
        application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
        application/vnd.docker.distribution.manifest.v2+json";
}

/// A reference by digest to a blob or manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// For which machine, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free-form notes, such as the image's name in a layout.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index (Docker: manifest list).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) media_type: String,
    pub(crate) manifests: Vec<Descriptor>,
}

impl Index {
    pub(crate) fn of(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: media::OCI_INDEX.to_owned(), manifests }
    }
}

/// An image manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

impl Manifest {
    /// Its own media type, else what the one who gave it said, else OCI's.
    pub(crate) fn media_type_or(&self, content_type: &str) -> String {
        let said = content_type.split(';').next().unwrap_or_default().trim();
        let known = |text: &str| matches!(text, media::OCI_MANIFEST | media::DOCKER_MANIFEST);
        let own = Some(self.media_type.as_str()).filter(|own| known(own));
        own.or_else(|| Some(said).filter(|said| known(said))).unwrap_or(media::OCI_MANIFEST).to_owned()
    }
}

/// Just enough of any manifest to see which kind it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

/// Index or manifest, told apart.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Index),
    Manifest(Manifest),
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No JSON, or not of the right shape.
    #[error("it is not a valid manifest")]
    Json(#[source] serde_json::Error),
    /// Docker's first format, without content digests of the layers' contents.
    #[error("it has Docker's schema 1, which is no longer supported; push the image again with a current tool")]
    Schema1,
    /// Some other kind of artifact.
    #[error("it has the media type {found:?}, which is no container image")]
    MediaType {
        /// The media type.
        found: String,
    },
    /// More layers than can be mounted.
    #[error("it has {layers} layers; at most {LAYERS_MAX} can be mounted")]
    Layers {
        /// How many.
        layers: usize,
    },
}

impl Document {
    /// Tells index and manifest apart, by the document's own media type, else by `content_type`, else by its shape.
    pub(crate) fn parse(bytes: &[u8], content_type: &str) -> Result<Self, DocumentError> {
        let probe: Probe = serde_json::from_slice(bytes).map_err(DocumentError::Json)?;
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        let declared = if probe.media_type.is_empty() { content_type } else { probe.media_type.as_str() };
        let index = match declared {
            media::DOCKER_SCHEMA1 | media::DOCKER_SCHEMA1_SIGNED => return Err(DocumentError::Schema1),
            media::OCI_INDEX | media::DOCKER_LIST => true,
            media::OCI_MANIFEST | media::DOCKER_MANIFEST => false,
            _ if probe.schema_version == 1 => return Err(DocumentError::Schema1),
            // Registries that serve blobs from plain web servers send any content type they like.
            "" | "application/json" | "application/octet-stream" | "text/plain" => probe.manifests.is_some(),
            other => return Err(DocumentError::MediaType { found: other.chars().take(200).collect() }),
        };
        if index {
            return serde_json::from_slice(bytes).map(Self::Index).map_err(DocumentError::Json);
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(DocumentError::Json)?;
        match manifest.config.media_type.as_str() {
            media::OCI_CONFIG | media::DOCKER_CONFIG | "" => {}
            other => return Err(DocumentError::MediaType { found: other.chars().take(200).collect() }),
        }
        if manifest.layers.len() > LAYERS_MAX {
            return Err(DocumentError::Layers { layers: manifest.layers.len() });
        }
        Ok(Self::Manifest(manifest))
    }
}

/// True for layer media types whose content is a tar, in whichever compression we know.
pub(crate) fn layer_is_known(media_type: &str) -> bool {
    let (base, suffix) = media_type.split_once('+').unwrap_or((media_type, ""));
    let tar = matches!(
        base,
        "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    );
    // The suffix is a hint; the first bytes decide. But `+encrypted` is something else altogether.
    media_type.is_empty() || (tar && matches!(suffix, "" | "gzip" | "zstd"))
}

/// An image's configuration: which machine it is for, how its process is started, which layers it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Architecture in Go's words, such as `amd64`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// Operating system, such as `linux`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// Variant of the architecture, such as `v8`.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// How the process is started.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ProcessConfig,
    /// The layers' contents.
    pub rootfs: RootFs,
}

/// How an image wants its process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessConfig {
    /// User and group, by name or number: `user`, `user:group`, `1000:1000`; empty = root.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Environment, `NAME=value`.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Arguments that a caller may replace; the program, too, where there is no entrypoint.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Paths that are to be directories for data (Docker's `VOLUME`), as the image's author wrote them. In JSON each is
    /// the name of an empty object.
    #[serde(
        default,
        deserialize_with = "names_of_objects",
        serialize_with = "as_empty_objects",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub volumes: BTreeSet<String>,
    /// Working directory; empty = `/`.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the process to end, such as `SIGTERM`; empty = SIGTERM.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

/// The layers' contents, by digest of the plain tars.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Digests of the plain layer tars, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// Go writes `null` for an empty list or map.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What Go writes for a set: the members as names, nothing as what they name.
fn names_of_objects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    let members = Option::<BTreeMap<String, serde::de::IgnoredAny>>::deserialize(deserializer)?;
    Ok(members.unwrap_or_default().into_keys().collect())
}

fn as_empty_objects<S: Serializer>(members: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members.iter().map(|member| (member, BTreeMap::<&str, &str>::new())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_written_by_go_are_empty() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Entrypoint":["/a"],"Cmd":null,"Labels":null},
            "rootfs":{"type":"layers","diff_ids":null},"history":[{}]}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.config.entrypoint, ["/a"]);
        assert!(config.config.env.is_empty() && config.rootfs.diff_ids.is_empty());
    }

    #[test]
    fn volumes_are_read_and_written_as_go_does() {
        let read = |text: &str| serde_json::from_str::<ProcessConfig>(text).unwrap();
        let config = read(r#"{"Volumes":{"/b":{},"/a":{"later":1},"/c":null}}"#);
        assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/a", "/b", "/c"]);
        assert_eq!(serde_json::to_string(&config).unwrap(), r#"{"Volumes":{"/a":{},"/b":{},"/c":{}}}"#);
        for none in [r#"{"Volumes":null}"#, r#"{"Volumes":{}}"#, "{}"] {
            assert_eq!(serde_json::to_string(&read(none)).unwrap(), "{}");
        }
    }

    #[test]
    fn schema_1_is_refused_by_name() {
        let by_type = Document::parse(br#"{"schemaVersion":1}"#, media::DOCKER_SCHEMA1_SIGNED);
        assert!(matches!(by_type, Err(DocumentError::Schema1)));
        let by_shape = Document::parse(br#"{"schemaVersion":1,"fsLayers":[]}"#, "application/json");
        assert!(matches!(by_shape, Err(DocumentError::Schema1)));
    }

    #[test]
    fn an_artifact_is_not_an_image() {
        let digest = Digest::sha256(b"{}");
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{digest}","size":2}},"layers":[]}}"#,
            media::OCI_MANIFEST
        );
        assert!(matches!(Document::parse(text.as_bytes(), ""), Err(DocumentError::MediaType { .. })));
    }

    #[test]
    fn an_index_without_a_media_type_is_known_by_its_shape() {
        let document = Document::parse(br#"{"schemaVersion":2,"manifests":[]}"#, "text/plain; charset=utf-8");
        assert!(matches!(document, Ok(Document::Index(_))));
    }

    #[test]
    fn encrypted_layers_are_not_known() {
        assert!(layer_is_known("application/vnd.docker.image.rootfs.diff.tar.gzip"));
        assert!(layer_is_known("application/vnd.oci.image.layer.v1.tar+zstd"));
        assert!(!layer_is_known("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"));
        assert!(!layer_is_known("application/vnd.cncf.helm.chart.content.v1.tar+gzip"));
    }
}
