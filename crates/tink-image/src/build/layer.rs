//! Packing one layer: tar, hash, compress, hash, write, in one pass.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::{Compression, Layer, Source};
use crate::digest::{Digest, Hasher};
use crate::error::ImageError;
use crate::tar::{Entry, Kind, TarWriter};

/// A layer that was packed.
pub(super) struct Packed {
    pub(super) diff_id: Digest,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

pub(super) fn entry(path: &str, kind: Kind, mode: u32, link: &str) -> Entry {
    let path = if kind == Kind::Directory { format!("{path}/") } else { path.to_owned() };
    Entry {
        path: path.into_bytes(),
        link: link.as_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: (0, 0),
        device: (0, 0),
        xattrs: Vec::new(),
        segments: None,
    }
}

impl Layer {
    /// Packs the layer into a new file.
    pub(super) fn pack(&self, compression: Compression, to: &Path) -> Result<Packed, ImageError> {
        let failed = |source| ImageError::File { operation: "write", path: to.to_owned(), source };
        let file = File::create_new(to).map_err(failed)?;
        let blob = HashingWriter::new(io::BufWriter::with_capacity(128 * 1024, file));
        let (diff_id, blob) = match compression {
            Compression::None => {
                let (diff_id, blob) = self.write(blob, failed)?;
                (diff_id, blob)
            }
            Compression::Gzip => {
                let (diff_id, encoder) =
                    self.write(flate2::write::GzEncoder::new(blob, flate2::Compression::default()), failed)?;
                (diff_id, encoder.finish().map_err(failed)?)
            }
            Compression::Zstd => {
                let (diff_id, encoder) =
                    self.write(zstd::stream::write::Encoder::new(blob, 0).map_err(failed)?, failed)?;
                (diff_id, encoder.finish().map_err(failed)?)
            }
        };
        let (digest, bytes) = (blob.hasher.finish(), blob.bytes);
        blob.inner.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(Packed { diff_id, digest, bytes })
    }

    /// Writes the plain tar, and gives back its digest and the writer.
    fn write<W: Write>(&self, to: W, failed: impl Fn(io::Error) -> ImageError) -> Result<(Digest, W), ImageError> {
        let mut plain = HashingWriter::new(to);
        match self {
            Self::Tar(tar) => plain.write_all(tar).map_err(failed)?,
            Self::Entries(entries) => {
                let mut tar = TarWriter::new(plain);
                for (entry, source) in entries {
                    let mut entry = entry.clone();
                    match source {
                        Source::None => tar.add(&entry, io::empty()).map_err(&failed)?,
                        Source::Bytes(bytes) => {
                            entry.size = bytes.len() as u64;
                            tar.add(&entry, bytes.as_slice()).map_err(&failed)?;
                        }
                        Source::File(path) => {
                            let unreadable =
                                |source| ImageError::File { operation: "pack", path: path.clone(), source };
                            let file = File::open(path).map_err(unreadable)?;
                            entry.size = file.metadata().map_err(unreadable)?.len();
                            tar.add(&entry, file).map_err(unreadable)?;
                        }
                    }
                }
                plain = tar.finish().map_err(failed)?;
            }
        }
        Ok((plain.hasher.finish(), plain.inner))
    }
}

struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W> HashingWriter<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::sha256(), bytes: 0 }
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(data)?;
        self.hasher.update(&data[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
