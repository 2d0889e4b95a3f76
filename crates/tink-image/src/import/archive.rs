//! A tar archive as a collection of files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use crate::error::ImageError;
use crate::tar::{Kind, TarReader};

/// Most files in an archive.
const FILES_MAX: usize = 100_000;

/// An archive that was read through once. From a compressed one every file is inflated anew from the start: preloaded
/// images are better kept plain, where a file is one seek away.
pub(crate) struct Archive<'a> {
    path: &'a Path,
    compression: Compression,
    places: HashMap<String, Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

enum Place {
    Bytes {
        offset: u64,
        len: u64,
    },
    /// Old `docker save` links layers that occur twice.
    Link(String),
}

impl<'a> Archive<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, ImageError> {
        let failed = |source| ImageError::File { operation: "read", path: path.to_owned(), source };
        let mut magic = [0; 4];
        let got = File::open(path).and_then(|mut file| file.read(&mut magic)).map_err(failed)?;
        let compression = match magic.get(..got) {
            Some([0x1f, 0x8b, ..]) => Compression::Gzip,
            Some([0x28, 0xb5, 0x2f, 0xfd]) => Compression::Zstd,
            _ => Compression::None,
        };
        let mut archive = Self { path, compression, places: HashMap::new() };
        let refused = |detail: String| ImageError::Import { path: path.to_owned(), detail };
        let mut tar = TarReader::new(archive.plain(0)?);
        while let Some(entry) = tar.next().map_err(|error| refused(tink_error::chain(&error)))? {
            if archive.places.len() >= FILES_MAX {
                return Err(refused(format!("it holds more than {FILES_MAX} files")));
            }
            let name = clean(&String::from_utf8_lossy(&entry.path));
            let link = String::from_utf8_lossy(&entry.link).into_owned();
            let place = match entry.kind {
                Kind::File if entry.segments.is_none() => Place::Bytes { offset: tar.position(), len: entry.size },
                Kind::HardLink => Place::Link(clean(&link)),
                Kind::Symlink => Place::Link(clean(&match name.rsplit_once('/') {
                    Some((folder, _)) => format!("{folder}/{link}"),
                    None => link,
                })),
                _ => continue,
            };
            archive.places.insert(name, place);
        }
        Ok(archive)
    }

    pub(super) fn path(&self) -> &Path {
        self.path
    }

    pub(super) fn file(&self, name: &str) -> Result<Option<super::Opened<'_>>, ImageError> {
        let Some((offset, len)) = self.place(name) else { return Ok(None) };
        let file = self.plain(offset)?.take(len);
        Ok(Some((Box::new(BufReader::with_capacity(128 * 1024, file)), len)))
    }

    /// A file's size, without opening it.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.place(name).map(|(_, len)| len)
    }

    /// Where a file's bytes lie, and how many they are.
    fn place(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = &clean(name);
        // A link to a link is as far as any real archive goes.
        for _ in 0..4 {
            match self.places.get(name)? {
                Place::Link(target) => name = target,
                Place::Bytes { offset, len } => return Some((*offset, *len)),
            }
        }
        None
    }

    /// The plain archive from a position on.
    fn plain(&self, offset: u64) -> Result<Box<dyn Read>, ImageError> {
        let failed = |source| ImageError::File { operation: "read", path: self.path.to_owned(), source };
        let mut file = File::open(self.path).map_err(failed)?;
        if self.compression == Compression::None {
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            return Ok(Box::new(file));
        }
        let file = BufReader::with_capacity(128 * 1024, file);
        let mut plain: Box<dyn Read> = match self.compression {
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            _ => Box::new(zstd::stream::read::Decoder::with_buffer(file).map_err(failed)?),
        };
        io::copy(&mut (&mut plain).take(offset), &mut io::sink()).map_err(failed)?;
        Ok(plain)
    }
}

/// `./a//b/../c` -> `a/c`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
