//! Making images from files, without an engine.

mod index;
mod layer;
mod layout;
mod push;

use std::path::{Path, PathBuf};

use tink_workflow::ImageRef;

pub use index::IndexBuilder;

use crate::digest::Digest;
use crate::error::ImageError;
use crate::platform::Platform;
use crate::registry::Registries;
use crate::spec::{ImageConfig, ProcessConfig};
use crate::tar::{Entry, Kind};

/// How layers are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, which every engine reads.
    #[default]
    Gzip,
    /// zstd: smaller and quicker, read by engines since about 2022.
    Zstd,
}

/// Makes an image of files. The same files give the same digests: times are zero, owner is root.
///
/// ```no_run
/// # async fn example(registries: tink_image::Registries) -> Result<(), tink_image::ImageError> {
/// use std::path::Path;
/// use tink_image::{ImageBuilder, ImageRef};
/// let mut image = ImageBuilder::new();
/// image.file("/writefile", Path::new("target/static/tink-actions"), 0o755).entrypoint(["/writefile"]);
/// let name = ImageRef::parse("registry.example/actions/writefile:v1").unwrap();
/// image.write_layout(Path::new("out"), &name)?;
/// image.push(&registries, &name, Path::new("/tmp")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    platform: Platform,
    process: ProcessConfig,
    compression: Compression,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
enum Layer {
    Entries(Vec<(Entry, Source)>),
    Tar(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Source {
    None,
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// A made image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its id: the digest of its configuration.
    pub id: Digest,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Bytes of all its blobs.
    pub bytes: u64,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBuilder {
    /// An empty image for this machine's platform.
    #[must_use]
    pub fn new() -> Self {
        let (platform, process, compression) = (Platform::host(), ProcessConfig::default(), Compression::default());
        Self { platform, process, compression, layers: Vec::new() }
    }

    /// For which machine it is.
    pub fn platform(&mut self, platform: Platform) -> &mut Self {
        self.platform = platform;
        self
    }

    /// How layers are packed.
    pub fn compression(&mut self, compression: Compression) -> &mut Self {
        self.compression = compression;
        self
    }

    /// Adds a file from the disk; it is read when the image is written. Directories above it are made.
    pub fn file(&mut self, path: &str, from: &Path, mode: u32) -> &mut Self {
        self.entry(path, Kind::File, mode, "", Source::File(from.to_owned()))
    }

    /// Adds a file with these bytes.
    pub fn bytes(&mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> &mut Self {
        self.entry(path, Kind::File, mode, "", Source::Bytes(bytes.into()))
    }

    /// Adds an empty directory.
    pub fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        self.entry(path, Kind::Directory, mode, "", Source::None)
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.entry(path, Kind::Symlink, 0o777, target, Source::None)
    }

    /// What is added from here on goes into a further layer.
    pub fn next_layer(&mut self) -> &mut Self {
        self.layers.push(Layer::Entries(Vec::new()));
        self
    }

    /// Adds a layer that is a tar already, taken as it is.
    pub fn tar_layer(&mut self, tar: Vec<u8>) -> &mut Self {
        self.layers.push(Layer::Tar(tar));
        self
    }

    /// The program and its first arguments.
    pub fn entrypoint<T: Into<String>>(&mut self, words: impl IntoIterator<Item = T>) -> &mut Self {
        self.process.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Arguments that a caller may replace.
    pub fn cmd<T: Into<String>>(&mut self, words: impl IntoIterator<Item = T>) -> &mut Self {
        self.process.cmd = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an environment variable.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.process.env.push(format!("{name}={value}"));
        self
    }

    /// Adds a label.
    pub fn label(&mut self, name: &str, value: &str) -> &mut Self {
        self.process.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// User and group of the process.
    pub fn user(&mut self, user: &str) -> &mut Self {
        user.clone_into(&mut self.process.user);
        self
    }

    /// Adds a path that is to be a directory for data.
    pub fn volume(&mut self, path: &str) -> &mut Self {
        self.process.volumes.insert(path.to_owned());
        self
    }

    /// Working directory of the process.
    pub fn working_dir(&mut self, path: &str) -> &mut Self {
        path.clone_into(&mut self.process.working_dir);
        self
    }

    /// Writes the image into an OCI layout, beside what is there already; an image of the same name is replaced in the
    /// index. Blocks.
    ///
    /// # Errors
    /// [`ImageError::File`] where a file cannot be read or written.
    pub fn write_layout(&self, directory: &Path, name: &ImageRef) -> Result<Built, ImageError> {
        layout::write(self, directory, name)
    }

    /// Writes the image as one tar that `docker load`, `podman load`, `ctr image import` and we can read. Blocks.
    ///
    /// # Errors
    /// [`ImageError::File`] where a file cannot be read or written.
    pub fn write_archive(&self, file: &Path, name: &ImageRef) -> Result<Built, ImageError> {
        layout::write_archive(self, file, name)
    }

    /// Pushes the image; `work` is a directory for its blobs meanwhile. What the registry has already is not sent.
    ///
    /// # Errors
    /// [`ImageError`]; see [`ImageError::retryable`].
    pub async fn push(&self, registries: &Registries, name: &ImageRef, work: &Path) -> Result<Built, ImageError> {
        let scratch = layout::Scratch::new(work)?;
        let (builder, directory, image) = (self.clone(), scratch.path().to_owned(), name.clone());
        let built = crate::store::blocking("pack an image", move || builder.write_layout(&directory, &image)).await?;
        push::push_layout(registries, scratch.path(), name, &built).await?;
        Ok(built)
    }

    fn config(&self, diff_ids: Vec<Digest>) -> ImageConfig {
        let Platform { os, architecture, variant } = self.platform.clone();
        let rootfs = crate::spec::RootFs { kind: "layers".to_owned(), diff_ids };
        ImageConfig { architecture, os, variant, config: self.process.clone(), rootfs }
    }

    fn entry(&mut self, path: &str, kind: Kind, mode: u32, link: &str, source: Source) -> &mut Self {
        if !matches!(self.layers.last(), Some(Layer::Entries(_))) {
            self.next_layer();
        }
        if let Some(Layer::Entries(entries)) = self.layers.last_mut() {
            let path = path.trim_matches('/');
            for (at, _) in path.match_indices('/') {
                let parent = &path[..at];
                if !entries.iter().any(|(entry, _)| entry.path.trim_ascii_end() == format!("{parent}/").as_bytes()) {
                    entries.push((layer::entry(parent, Kind::Directory, 0o755, ""), Source::None));
                }
            }
            entries.push((layer::entry(path, kind, mode, link), source));
        }
        self
    }
}
