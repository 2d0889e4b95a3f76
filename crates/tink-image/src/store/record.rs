//! Records: small JSON files, replaced by rename.

use std::io::Write as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tink_workflow::ImageRef;

use super::lock::{StoreLock, random_name};
use super::{Store, store_error};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::spec::ImageConfig;

/// What is known of a layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    pub(super) diff_id: Digest,
    /// Bytes charged to the budget.
    pub(super) bytes: u64,
    pub(super) entries: u64,
    /// Directories that no entry described, escaped.
    #[serde(default)]
    pub(super) implicit: Vec<String>,
    #[serde(default)]
    pub(super) root_opaque: bool,
    /// The boot in which it was written, until it is known to be on disk: after a power loss it is not trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) boot: Option<String>,
}

/// An image under one name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    pub(super) reference: ImageRef,
    /// Digest of what the reference names in its registry or archive.
    pub(super) digest: Digest,
    /// Digest of the configuration.
    pub(super) id: Digest,
    pub(super) config: ImageConfig,
    /// Directories to mount, lowest first, relative to the store.
    pub(super) layers: Vec<String>,
    /// All directories that must stay for that.
    pub(super) needs: Vec<String>,
    /// Grows with every use in the store: the order of use, whatever the clock says.
    pub(super) used: u64,
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ImageError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(store_error("read", path, source)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| ImageError::Record { path: path.to_owned(), source })
}

impl Store {
    pub(super) fn write_record<T: Serialize>(&self, path: &Path, record: &T) -> Result<(), ImageError> {
        let bytes =
            serde_json::to_vec_pretty(record).map_err(|source| ImageError::Record { path: path.to_owned(), source })?;
        let failed = |source: std::io::Error| store_error("write", path, source);
        let temporary = self.path("tmp").join(format!("{}.json", random_name()?));
        let written = std::fs::File::create_new(&temporary)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_data()))
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written.map_err(failed)
    }

    /// All image records; a damaged one is set aside and named in the log.
    pub(super) fn image_records(&self, _lock: &StoreLock) -> Result<Vec<ImageRecord>, ImageError> {
        let directory = self.path("images");
        let failed = |source| store_error("list", &directory, source);
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read::<ImageRecord>(&path) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => {}
                Err(error @ ImageError::Record { .. }) => set_aside(&path, &error),
                Err(error) => return Err(error),
            }
        }
        records.sort_by_key(|record| record.used);
        Ok(records)
    }

    pub(super) fn image_record(&self, image: &ImageRef) -> Result<Option<ImageRecord>, ImageError> {
        let path = self.image_path(image);
        match read::<ImageRecord>(&path) {
            Ok(Some(record)) if record.reference == *image => Ok(Some(record)),
            Ok(_) => Ok(None),
            Err(error @ ImageError::Record { .. }) => {
                set_aside(&path, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// `images/docker.io%2Flibrary%2Falpine:latest.json`; names that no file name can hold are cut and told apart by
    /// their digest.
    pub(super) fn image_path(&self, image: &ImageRef) -> std::path::PathBuf {
        let text = image.to_string();
        let mut name = text.replace('%', "%25").replace('/', "%2F");
        if name.len() > 180 {
            let cut = name.floor_char_boundary(110);
            name = format!("{}~{}", &name[..cut], Digest::sha256(text.as_bytes()).hex());
        }
        self.path("images").join(format!("{name}.json"))
    }
}

fn set_aside(path: &Path, error: &ImageError) {
    tracing::warn!(error = %error.chain(), "the damaged record is set aside");
    if let Err(error) = std::fs::rename(path, path.with_extension("damaged")) {
        tracing::warn!(path = %path.display(), %error, "the damaged record cannot be set aside");
    }
}
