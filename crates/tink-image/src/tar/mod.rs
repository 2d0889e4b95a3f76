//! Tar archives, read as hostile input and written reproducibly.
//!
//! Known: old V7, ustar, GNU (long names, sparse files, base-256 numbers) and PAX (long names, large numbers, extended
//! attributes, sparse formats 0.0, 0.1 and 1.0). Global PAX headers are skipped, as all engines do. Every size that a
//! header states is bounded before anything is allocated for it.

mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

pub(crate) use reader::TarReader;
pub(crate) use sparse::Segment;
pub(crate) use writer::TarWriter;

use std::io;

/// Bytes of a tar block.
pub(crate) const BLOCK: usize = 512;
/// Largest PAX header or GNU long name, in bytes: what Go's reader takes.
pub(crate) const SPECIAL_BYTES_MAX: u64 = 1024 * 1024;
/// Longest path or link target, in bytes: what the kernel takes.
pub(crate) const PATH_BYTES_MAX: usize = 4095;
/// Most segments of a sparse file.
pub(crate) const SEGMENTS_MAX: usize = 1 << 18;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The bytes did not come, or could not be inflated.
    #[error("the archive cannot be read")]
    Io(#[source] io::Error),
    /// The archive ends in the middle of an entry.
    #[error("the archive ends in the middle of an entry")]
    Truncated,
    /// A header's checksum is wrong: no tar, or a damaged one.
    #[error("a header's checksum is wrong: this is no tar archive, or a damaged one")]
    Checksum,
    /// A number in a header is no number or out of range.
    #[error("the {field} of {path:?} is not a number in range")]
    Number {
        /// Which field.
        field: &'static str,
        /// The entry, as far as it is known.
        path: String,
    },
    /// A header or name is larger than any honest one.
    #[error("the {what} has {bytes} bytes; at most {bytes_max} are taken")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A PAX header is malformed.
    #[error("a PAX header is malformed")]
    Pax,
    /// The map of a sparse file is malformed.
    #[error("the sparse map of {path:?} is malformed")]
    Sparse {
        /// The entry.
        path: String,
    },
    /// A kind of entry that has no meaning in an image.
    #[error("{path:?} has the entry type {flag:?}, which has no meaning in an image")]
    Kind {
        /// The entry.
        path: String,
        /// Its type.
        flag: char,
    },
    /// A path or link target holds a NUL byte.
    #[error("the {what} of {path:?} holds a NUL byte")]
    Nul {
        /// Path or link target.
        what: &'static str,
        /// The entry.
        path: String,
    },
}

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry with its long names, PAX records and sparse map already applied.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    /// The low 12 bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Size of the file it makes, holes included.
    pub(crate) size: u64,
    /// Seconds and nanoseconds since 1970.
    pub(crate) mtime: (i64, u32),
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data goes, in order; `None` = all of it at the start.
    pub(crate) segments: Option<Vec<Segment>>,
}

impl Entry {
    /// The path for messages.
    pub(crate) fn shown(&self) -> String {
        shown(&self.path)
    }
}

/// Bytes of a path as text for messages, cut at a length that a log line can hold.
pub(crate) fn shown(path: &[u8]) -> String {
    let cut = path.len().min(256);
    String::from_utf8_lossy(&path[..cut]).into_owned()
}
