//! Images from files: OCI layouts (directories or archives) and `docker save` archives, plain or compressed.

mod archive;
mod docker;
mod layout;

use std::io::{BufRead, Read as _};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::ImageError;
use archive::Archive;
pub(crate) use docker::Saved;
pub(crate) use layout::{Found, NAME, REF_NAME, blob_name};

/// A file and its size in bytes.
pub(crate) type Opened<'a> = (Box<dyn BufRead + 'a>, u64);

/// Files by name, in a directory or an archive.
pub(crate) enum Container<'a> {
    Directory(&'a Path),
    Archive(Archive<'a>),
}

impl<'a> Container<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, ImageError> {
        if path.is_dir() { Ok(Self::Directory(path)) } else { Archive::open(path).map(Self::Archive) }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) => path,
            Self::Archive(archive) => archive.path(),
        }
    }

    /// A file's bytes and their number. In a directory only names made of digests and our own words are asked for.
    pub(crate) fn file(&self, name: &str) -> Result<Option<Opened<'_>>, ImageError> {
        match self {
            Self::Archive(archive) => archive.file(name),
            Self::Directory(directory) => {
                let path = directory.join(name);
                let failed = |source| ImageError::File { operation: "read", path: path.clone(), source };
                let file = match std::fs::File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(source) => return Err(failed(source)),
                };
                let bytes = file.metadata().map_err(failed)?.len();
                Ok(Some((Box::new(std::io::BufReader::with_capacity(128 * 1024, file)), bytes)))
            }
        }
    }

    /// A file's size in bytes, without opening it.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        match self {
            Self::Archive(archive) => archive.size(name),
            Self::Directory(directory) => std::fs::metadata(directory.join(name)).ok().map(|meta| meta.len()),
        }
    }

    /// A whole small file.
    pub(crate) fn small(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, ImageError> {
        let Some((file, bytes)) = self.file(name)? else { return Ok(None) };
        if bytes > bytes_max {
            return Err(self.refused(format!("{name} has {bytes} bytes; at most {bytes_max} are taken")));
        }
        let mut data = Vec::new();
        let failed = |source| ImageError::File { operation: "read", path: self.path().to_owned(), source };
        file.take(bytes_max).read_to_end(&mut data).map_err(failed)?;
        Ok(Some(data))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str, bytes: &[u8]) -> Result<T, ImageError> {
        serde_json::from_slice(bytes).map_err(|error| self.refused(format!("{name}: {error}")))
    }

    pub(crate) fn refused(&self, detail: impl Into<String>) -> ImageError {
        ImageError::Import { path: self.path().to_owned(), detail: detail.into() }
    }
}
