//! One pass over a layer's bytes: hash, inflate, hash, write.

use std::io::{self, BufRead, Chain, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::entry::Unpacker;
use super::root::Root;
use super::{LayerError, Limits, Meter, Unpacked, Whiteouts};
use crate::digest::{Digest, Hasher, HashingReader};
use crate::tar::{TarError, TarReader};

/// Bytes looked at to know the compression.
const MAGIC_BYTES: u64 = 6;
/// Largest zstd window taken, as a power of two: 128 MiB, what the zstd tool takes by default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// What a layer's bytes must be. Only what is given is checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// Digest of the blob, as it travels.
    pub(crate) blob: Option<Digest>,
    /// Size of the blob.
    pub(crate) blob_bytes: Option<u64>,
    /// Digest of the plain tar.
    pub(crate) diff_id: Option<Digest>,
}

type Sniffed<S> = Chain<Cursor<Vec<u8>>, HashingReader<Capped<S>>>;

/// Unpacks a layer and verifies it; the digest of the plain tar comes back, too.
///
/// A fault in the archive is reported as wrong digest where that is the cause: the rest of the blob is read to know.
pub(crate) fn unpack_verified<S: BufRead>(
    source: S,
    expected: &Expected,
    directory: &Path,
    whiteouts: Whiteouts,
    limits: Limits,
    meter: &mut dyn Meter,
) -> Result<(Unpacked, Digest), LayerError> {
    let hasher = |digest: &Option<Digest>| digest.as_ref().map_or_else(Hasher::sha256, Hasher::like);
    let capped = Capped { inner: source, left: expected.blob_bytes.map_or(u64::MAX, |bytes| bytes.saturating_add(1)) };
    let mut blob = HashingReader::new(capped, hasher(&expected.blob));
    let mut magic = Vec::new();
    (&mut blob).take(MAGIC_BYTES).read_to_end(&mut magic).map_err(|error| lost(error, TarError::Io))?;
    let sniffed = Cursor::new(magic.clone()).chain(blob);
    let inflate = match Inflate::new(&magic, sniffed)? {
        Ok(inflate) => inflate,
        Err((error, sniffed)) => return Err(explain(error, sniffed, expected)),
    };
    let mut tar = TarReader::new(HashingReader::new(inflate, hasher(&expected.diff_id)));
    let mut unpacker = Unpacker::new(Root::open(directory)?, whiteouts, limits, meter);
    let unpacked = match unpacker.run(&mut tar) {
        Ok(()) => unpacker.finish()?,
        Err(error) if error.is_content() => {
            return Err(explain(error, tar.into_source().into_inner().into_inner(), expected));
        }
        Err(error) => return Err(error),
    };
    let plain = match tar.drain(limits.trailing_bytes_max) {
        Ok(plain) => plain,
        Err((error, plain)) => {
            return Err(explain(LayerError::Tar(error), plain.into_inner().into_inner(), expected));
        }
    };
    let (diff_id, _) = plain.finish();
    verify_blob(plain.into_inner().into_inner(), expected)?;
    match &expected.diff_id {
        Some(wanted) if *wanted != diff_id => {
            Err(LayerError::Digest { what: "content", expected: wanted.clone(), found: diff_id })
        }
        _ => Ok((unpacked, diff_id)),
    }
}

/// A fault in the content is the wrong digest's fault if the digest is wrong.
fn explain<S: BufRead>(error: LayerError, rest: Sniffed<S>, expected: &Expected) -> LayerError {
    match verify_blob(rest, expected) {
        Ok(()) => error,
        Err(cause) => cause,
    }
}

/// Reads the blob to its end and compares.
fn verify_blob<S: BufRead>(rest: Sniffed<S>, expected: &Expected) -> Result<(), LayerError> {
    let (_, mut blob) = rest.into_inner();
    io::copy(&mut blob, &mut io::sink()).map_err(|error| lost(error, TarError::Io))?;
    let (digest, bytes) = blob.finish();
    if let Some(wanted) = expected.blob_bytes
        && wanted != bytes
    {
        return Err(LayerError::Size { expected: wanted, found: bytes });
    }
    match &expected.blob {
        Some(wanted) if *wanted != digest => {
            Err(LayerError::Digest { what: "digest", expected: wanted.clone(), found: digest })
        }
        _ => Ok(()),
    }
}

/// The error of a source that ended before its time.
#[derive(Debug, thiserror::Error)]
#[error("the pull was given up")]
pub(crate) struct SourceAborted;

fn lost(error: io::Error, otherwise: impl FnOnce(io::Error) -> TarError) -> LayerError {
    if error.get_ref().is_some_and(|inner| inner.is::<SourceAborted>()) {
        LayerError::Aborted
    } else {
        LayerError::Tar(otherwise(error))
    }
}

/// No more bytes than announced, and one to notice that there are more.
struct Capped<S> {
    inner: S,
    left: u64,
}

impl<S: BufRead> Read for Capped<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let have = self.fill_buf()?;
        let n = have.len().min(buffer.len());
        buffer[..n].copy_from_slice(&have[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<S: BufRead> BufRead for Capped<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let have = self.inner.fill_buf()?;
        let take = usize::try_from(self.left).map_or(have.len(), |left| left.min(have.len()));
        Ok(&have[..take])
    }

    fn consume(&mut self, amount: usize) {
        self.left -= amount as u64;
        self.inner.consume(amount);
    }
}

/// Whichever compression the first bytes tell; what the media type claims is not asked, as registries hold both.
enum Inflate<S: BufRead> {
    Plain(Box<Sniffed<S>>),
    Gzip(Box<MultiGzDecoder<Sniffed<S>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Sniffed<S>>>),
}

impl<S: BufRead> Inflate<S> {
    /// The decoder, or the name of a compression that has none and the source for its digest.
    fn new(magic: &[u8], source: Sniffed<S>) -> Result<Result<Self, (LayerError, Sniffed<S>)>, LayerError> {
        let unsupported = |found, source| Ok(Err((LayerError::Compression { found }, source)));
        match magic {
            [0x1f, 0x8b, ..] => Ok(Ok(Self::Gzip(Box::new(MultiGzDecoder::new(source))))),
            // A frame, or a skippable frame before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let failed = |error| LayerError::Tar(TarError::Io(error));
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source).map_err(failed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
                Ok(Ok(Self::Zstd(Box::new(decoder))))
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0] => unsupported("xz", source),
            [b'B', b'Z', b'h', ..] => unsupported("bzip2", source),
            _ => Ok(Ok(Self::Plain(Box::new(source)))),
        }
    }

    fn into_inner(self) -> Sniffed<S> {
        match self {
            Self::Plain(source) => *source,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<S: BufRead> Read for Inflate<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}
