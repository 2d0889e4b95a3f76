//! Container images made by hand: a busybox and a few files, in any layout a registry may serve.

use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Which names the parts of an image have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `application/vnd.docker.…`, the second schema.
    Docker,
    /// `application/vnd.oci.…`.
    Oci,
}

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    None,
    /// A tar packed with gzip.
    Gzip,
}

/// An image in the making.
#[derive(Clone, Debug)]
pub struct TestImage {
    flavour: Flavour,
    compression: Compression,
    layers: Vec<Vec<Entry>>,
    config: Value,
}

#[derive(Clone, Debug)]
struct Entry {
    path: String,
    mode: u32,
    kind: EntryKind,
}

#[derive(Clone, Debug)]
enum EntryKind {
    Directory,
    File(Vec<u8>),
    Link(String),
}

/// An image, ready to be pushed.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// The manifest as sent.
    pub manifest: Vec<u8>,
    /// The media type of the manifest.
    pub media_type: String,
    /// Digest (`sha256:…`) and content of each blob: the configuration, then the layers from the bottom.
    pub blobs: Vec<(String, Vec<u8>)>,
}

impl BuiltImage {
    /// The digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
}

impl TestImage {
    /// An image without a file.
    #[must_use]
    pub fn empty() -> Self {
        let config = json!({"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]});
        Self { flavour: Flavour::Docker, compression: Compression::Gzip, layers: vec![vec![]], config }
    }

    /// An image with the machine's static busybox under all its names, `/etc/passwd`, `/etc/group` and `/tmp`; its
    /// command is a shell.
    ///
    /// # Errors
    /// When there is no busybox, or one that needs a loader.
    pub fn busybox() -> Result<Self> {
        let program = crate::binaries::system_program("busybox")?;
        let content = fs::read(&program).with_context(|| format!("failed to read {}", program.display()))?;
        let list = std::process::Command::new(&program).arg("--list").output().context("failed to run busybox")?;
        let applets = String::from_utf8(list.stdout).context("busybox lists names that are no UTF-8")?;
        if applets.is_empty() {
            bail!("{} lists no programs", program.display());
        }
        let mut image = Self::empty()
            .directory("bin", 0o755)
            .directory("etc", 0o755)
            .directory("root", 0o700)
            .directory("tmp", 0o1777)
            .file("bin/busybox", 0o755, content)
            .file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\ntink:x:1000:1000::/home/tink:/bin/sh\n")
            .file("etc/group", 0o644, "root:x:0:\ntink:x:1000:\n");
        for applet in applets.split_whitespace().filter(|applet| *applet != "busybox") {
            image = image.link(&format!("bin/{applet}"), "busybox");
        }
        Ok(image.cmd(["/bin/sh"]))
    }

    /// Sets which names the parts have; Docker's without this.
    #[must_use]
    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// Sets how layers are packed; with gzip without this.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Begins another layer on top.
    #[must_use]
    pub fn layer(mut self) -> Self {
        self.layers.push(Vec::new());
        self
    }

    /// Adds a directory to the top layer.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, mode, EntryKind::Directory)
    }

    /// Adds a file to the top layer; `.wh.NAME` removes NAME of the layers below.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.entry(path, mode, EntryKind::File(content.into()))
    }

    /// Adds a symbolic link to the top layer.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, 0o777, EntryKind::Link(target.to_owned()))
    }

    fn entry(mut self, path: &str, mode: u32, kind: EntryKind) -> Self {
        if let Some(layer) = self.layers.last_mut() {
            layer.push(Entry { path: path.to_owned(), mode, kind });
        }
        self
    }

    /// Sets the entrypoint.
    #[must_use]
    pub fn entrypoint(self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        self.set("Entrypoint", json!(words))
    }

    /// Sets the command, or the arguments of the entrypoint.
    #[must_use]
    pub fn cmd(self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        self.set("Cmd", json!(words))
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        if let Some(env) = self.config["Env"].as_array_mut() {
            env.push(json!(format!("{name}={value}")));
        }
        self
    }

    /// Sets the user, as `name`, `uid` or `uid:gid`.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.set("User", json!(user))
    }

    /// Sets the working directory.
    #[must_use]
    pub fn working_dir(self, path: &str) -> Self {
        self.set("WorkingDir", json!(path))
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Packs it. The same image has the same digest each time.
    ///
    /// # Errors
    /// When an entry does not fit a tar.
    pub fn build(self) -> Result<BuiltImage> {
        let mut diff_ids = Vec::new();
        let mut packed = Vec::new();
        for layer in &self.layers {
            let tar = tar_of(layer)?;
            diff_ids.push(digest(&tar));
            packed.push(self.pack(tar)?);
        }
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let (manifest_type, config_type, layer_type) = self.media_types();
        let descriptor = |media_type: &str, content: &[u8]| json!({"mediaType": media_type, "digest": digest(content), "size": content.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": descriptor(config_type, &config),
            "layers": packed.iter().map(|layer| descriptor(layer_type, layer)).collect::<Vec<_>>(),
        });
        let blobs = std::iter::once(config).chain(packed).map(|content| (digest(&content), content)).collect();
        Ok(BuiltImage { manifest: manifest.to_string().into_bytes(), media_type: manifest_type.to_owned(), blobs })
    }

    fn pack(&self, tar: Vec<u8>) -> Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(tar),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&tar).context("failed to pack a layer")?;
                encoder.finish().context("failed to pack a layer")
            }
        }
    }

    fn media_types(&self) -> (&'static str, &'static str, &'static str) {
        match (self.flavour, self.compression) {
            (Flavour::Docker, compression) => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                match compression {
                    Compression::None => "application/vnd.docker.image.rootfs.diff.tar",
                    Compression::Gzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
                },
            ),
            (Flavour::Oci, compression) => (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                match compression {
                    Compression::None => "application/vnd.oci.image.layer.v1.tar",
                    Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
                },
            ),
        }
    }
}

fn tar_of(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for Entry { path, mode, kind } in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        let added = match kind {
            EntryKind::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                builder.append_data(&mut header, path, std::io::empty())
            }
            EntryKind::File(content) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_slice())
            }
            EntryKind::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target)
            }
        };
        added.with_context(|| format!("failed to add {path} to a layer"))?;
    }
    builder.into_inner().context("failed to end a layer")
}

fn digest(content: &[u8]) -> String {
    let hex: Vec<_> = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// As container platforms name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_image_has_the_same_digest() {
        let build = || TestImage::empty().file("a", 0o644, "x").layer().file("b", 0o644, "y").build().unwrap();
        assert_eq!(build().digest(), build().digest());
        assert_eq!(build().blobs.len(), 3);
    }

    #[test]
    fn the_manifest_names_what_the_blobs_are() {
        let image = TestImage::empty().file("a", 0o644, "x").flavour(Flavour::Oci).build().unwrap();
        let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        assert_eq!(manifest["config"]["digest"], json!(image.blobs[0].0));
        assert_eq!(manifest["layers"][0]["digest"], json!(image.blobs[1].0));
        assert_eq!(manifest["layers"][0]["mediaType"], json!("application/vnd.oci.image.layer.v1.tar+gzip"));
        let config: Value = serde_json::from_slice(&image.blobs[0].1).unwrap();
        assert_ne!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    }
}
