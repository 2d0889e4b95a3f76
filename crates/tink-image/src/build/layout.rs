//! Writing OCI layouts and archives.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tink_workflow::ImageRef;

use super::{Built, Compression, ImageBuilder, layer};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::import::{NAME, REF_NAME, blob_name};
use crate::platform::Platform;
use crate::spec::{Descriptor, Index, Manifest, media};
use crate::tar::{Kind, TarWriter};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

pub(super) fn write(builder: &ImageBuilder, directory: &Path, name: &ImageRef) -> Result<Built, ImageError> {
    let (manifest, built) = write_blobs(builder, directory)?;
    add_to_index(directory, named(manifest, name), name)?;
    Ok(built)
}

/// One image for several platforms: an index of its own, which the layout's index names.
pub(super) fn write_index(
    builders: &[ImageBuilder],
    directory: &Path,
    name: &ImageRef,
) -> Result<(Descriptor, Vec<Built>), ImageError> {
    let (mut manifests, mut built) = (Vec::new(), Vec::new());
    for builder in builders {
        let (manifest, one) = write_blobs(builder, directory)?;
        manifests.push(manifest);
        built.push(one);
    }
    let index = blob(directory, media::OCI_INDEX, &json(&Index::of(manifests))?)?;
    add_to_index(directory, named(index.clone(), name), name)?;
    Ok((index, built))
}

fn named(mut manifest: Descriptor, name: &ImageRef) -> Descriptor {
    manifest.annotations = BTreeMap::from([(NAME.to_owned(), name.to_string())]);
    manifest.annotations.extend(name.tag().map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
    manifest
}

/// Layers, configuration and manifest; no index.
fn write_blobs(builder: &ImageBuilder, directory: &Path) -> Result<(Descriptor, Built), ImageError> {
    let blobs = directory.join("blobs/sha256");
    let failed = |operation, path: &Path, source| ImageError::File { operation, path: path.to_owned(), source };
    std::fs::create_dir_all(&blobs).map_err(|source| failed("make", &blobs, source))?;
    let (mut layers, mut diff_ids, mut bytes) = (Vec::new(), Vec::new(), 0);
    for one in &builder.layers {
        let temporary = blobs.join(format!(".{}", crate::store::random_name()?));
        let packed = one.pack(builder.compression, &temporary);
        let packed = packed.inspect_err(|_| drop(std::fs::remove_file(&temporary)))?;
        let path = directory.join(blob_name(&packed.digest));
        std::fs::rename(&temporary, &path).map_err(|source| failed("write", &path, source))?;
        bytes += packed.bytes;
        diff_ids.push(packed.diff_id);
        layers.push(descriptor(layer_type(builder.compression), packed.digest, packed.bytes));
    }
    let config = json(&builder.config(diff_ids))?;
    let config = blob(directory, media::OCI_CONFIG, &config)?;
    let id = config.digest.clone();
    bytes += config.size;
    let manifest = Manifest { schema_version: 2, media_type: media::OCI_MANIFEST.to_owned(), config, layers };
    let mut manifest = blob(directory, media::OCI_MANIFEST, &json(&manifest)?)?;
    bytes += manifest.size;
    let digest = manifest.digest.clone();
    manifest.platform = Some(builder.platform.clone());
    Ok((manifest, Built { id, manifest: digest, bytes }))
}

fn layer_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => media::OCI_LAYER,
        Compression::Gzip => media::OCI_LAYER_GZIP,
        Compression::Zstd => media::OCI_LAYER_ZSTD,
    }
}

fn add_to_index(directory: &Path, manifest: Descriptor, name: &ImageRef) -> Result<(), ImageError> {
    let path = directory.join("index.json");
    let mut manifests = match std::fs::read(&path) {
        Ok(bytes) => {
            let known: Index = serde_json::from_slice(&bytes)
                .map_err(|error| ImageError::Import { path: path.clone(), detail: error.to_string() })?;
            known.manifests
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(ImageError::File { operation: "read", path, source }),
    };
    let name = name.to_string();
    manifests.retain(|known| known.annotations.get(NAME) != Some(&name));
    manifests.push(manifest);
    write_file(directory, "index.json", &json(&Index::of(manifests))?)?;
    write_file(directory, "oci-layout", LAYOUT)
}

/// One tar with the OCI layout and Docker's `manifest.json` over the same blobs.
pub(super) fn write_archive(builder: &ImageBuilder, file: &Path, name: &ImageRef) -> Result<Built, ImageError> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = Scratch::new(parent)?;
    // Old engines take only plain layers from an archive.
    let mut plain = builder.clone();
    plain.compression(Compression::None);
    let built = write(&plain, scratch.path(), name)?;
    let read = |name: &str| {
        let path = scratch.path().join(name);
        std::fs::read(&path).map_err(|source| ImageError::File { operation: "read", path, source })
    };
    let bytes = read(&blob_name(&built.manifest))?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| ImageError::Import { path: file.to_owned(), detail: error.to_string() })?;
    let mut names = vec![blob_name(&built.manifest), blob_name(&manifest.config.digest)];
    names.extend(manifest.layers.iter().map(|layer| blob_name(&layer.digest)));
    let list = json(&serde_json::json!([{
        "Config": names[1],
        "RepoTags": name.tag().map(|_| vec![familiar(name)]).unwrap_or_default(),
        "Layers": names[2..],
    }]))?;
    names.sort();
    names.dedup();
    let temporary = scratch.path().join("archive.tar");
    let failed = |source| ImageError::File { operation: "write", path: file.to_owned(), source };
    let target = File::create_new(&temporary).map_err(failed)?;
    let mut tar = TarWriter::new(BufWriter::with_capacity(128 * 1024, target));
    for folder in ["blobs", "blobs/sha256"] {
        tar.add(&layer::entry(folder, Kind::Directory, 0o755, ""), io::empty()).map_err(failed)?;
    }
    for name in names {
        let source = File::open(scratch.path().join(&name)).map_err(failed)?;
        let mut entry = layer::entry(&name, Kind::File, 0o644, "");
        entry.size = source.metadata().map_err(failed)?.len();
        tar.add(&entry, source).map_err(failed)?;
    }
    for (name, bytes) in [("index.json", read("index.json")?), ("manifest.json", list), ("oci-layout", LAYOUT.to_vec())]
    {
        let mut entry = layer::entry(name, Kind::File, 0o644, "");
        entry.size = bytes.len() as u64;
        tar.add(&entry, bytes.as_slice()).map_err(failed)?;
    }
    tar.finish().and_then(|mut target| target.flush()).map_err(failed)?;
    std::fs::rename(&temporary, file).map_err(failed)?;
    Ok(built)
}

/// `docker load` of old engines shows the name as it stands here.
fn familiar(name: &ImageRef) -> String {
    let tag = name.tag().unwrap_or("latest");
    match (name.registry(), name.repository().strip_prefix("library/")) {
        ("docker.io", Some(short)) => format!("{short}:{tag}"),
        ("docker.io", None) => format!("{}:{tag}", name.repository()),
        (registry, _) => format!("{registry}/{}:{tag}", name.repository()),
    }
}

fn blob(directory: &Path, media_type: &str, bytes: &[u8]) -> Result<Descriptor, ImageError> {
    let digest = Digest::sha256(bytes);
    write_file(directory, &blob_name(&digest), bytes)?;
    Ok(descriptor(media_type, digest, bytes.len() as u64))
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    let (platform, annotations): (Option<Platform>, _) = (None, BTreeMap::new());
    Descriptor { media_type: media_type.to_owned(), digest, size, platform, annotations }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(value)
        .map_err(|error| ImageError::Import { path: PathBuf::from("the image's JSON"), detail: error.to_string() })
}

fn write_file(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
    let path = directory.join(name);
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(|source| ImageError::File { operation: "write", path, source })
}

/// A directory that is removed in the end.
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(super) fn new(parent: &Path) -> Result<Self, ImageError> {
        let path = parent.join(format!(".tink-image-{}", crate::store::random_name()?));
        match std::fs::create_dir_all(&path) {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(ImageError::File { operation: "make", path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a scratch directory cannot be removed");
        }
    }
}
