//! Layer tars become directories that overlayfs can mount, and nothing is ever written outside them.
//!
//! What each kind of hostile or odd input meets:
//!
//! | input | what happens |
//! |---|---|
//! | absolute path | taken as relative to the layer's root, as every engine does |
//! | `..` inside the root | resolved; a path that leaves the root is refused |
//! | symbolic link, wherever it points | made as it is; followed only inside the root |
//! | hard link | only to a file of the same layer; to anything else it is refused |
//! | device, fifo | made; where the kernel refuses devices they are skipped and counted |
//! | the same path twice | the later one wins; two directories are one, with the later attributes |
//! | path below a file | refused |
//! | `.wh.name`, `.wh..wh..opq` | whiteouts for lower layers only, wherever they stand in the tar |
//! | character device 0:0 | a whiteout, which is what it would be when mounted |
//! | `trusted.*`, most `security.*` attributes | dropped and counted: they belong to the machine, not to an image |
//! | more bytes or entries than allowed | refused before they are written |
//! | deeper than 200 directories, a name of more than 255 bytes | refused |

mod attributes;
mod entry;
mod path;
mod root;
mod stream;
#[cfg(test)]
mod tests;
mod whiteout;

pub(crate) use path::{escape, unescape};
pub(crate) use root::remove_at;
pub(crate) use stream::{Expected, SourceAborted, unpack_verified};
pub(crate) use whiteout::{OPAQUE as OPAQUE_NAME, OPAQUE_XATTR, PREFIX as WHITEOUT_PREFIX, is_whiteout};

use std::io;
use std::io::BufRead;
use std::path::Path;

use crate::digest::Digest;
use crate::tar::TarError;

/// How whiteouts are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// As overlayfs wants them: character devices 0:0 and the attribute `trusted.overlay.opaque`.
    Overlay,
    /// As the tar has them: files `.wh.name` and `.wh..wh..opq`. Such layers are merged before they are used.
    Portable,
}

/// Bounds on one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries_max: u64,
    /// Bytes after the archive's end marker.
    pub trailing_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries_max: 2_000_000, trailing_bytes_max: 64 * 1024 * 1024 }
    }
}

/// What the bytes that a layer takes are charged to.
pub trait Meter {
    /// Charges bytes before they are written.
    ///
    /// # Errors
    /// [`OverBudget`] when there is no room for them.
    fn charge(&mut self, bytes: u64) -> Result<(), OverBudget>;
}

/// A layer does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store may take {bytes_max} bytes, {bytes_in_use} of them are images in use, and this needs more")]
pub struct OverBudget {
    /// The budget.
    pub bytes_max: u64,
    /// What could not be dropped, this layer's bytes so far included.
    pub bytes_in_use: u64,
}

/// What was made of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Bytes charged: file contents in 4 KiB pages, 1 KiB for every entry, its extended attributes and link target.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Directories that no entry described and that were made for what lies in them.
    pub implicit: Vec<Vec<u8>>,
    /// The layer hides everything below it.
    pub root_opaque: bool,
    /// Extended attributes that were not taken over.
    pub xattrs_dropped: u64,
    /// Device nodes that the kernel refused.
    pub devices_dropped: u64,
}

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The archive itself.
    #[error("failed to read its archive")]
    Tar(#[source] TarError),
    /// A compression nobody agreed on.
    #[error("its compression {found} is not supported; push it as gzip, zstd or plain tar")]
    Compression {
        /// Its name.
        found: &'static str,
    },
    /// The bytes are not the ones the manifest names.
    #[error("its {what} is {found}, the image names {expected}: the bytes were damaged or exchanged on the way")]
    Digest {
        /// Blob or content.
        what: &'static str,
        /// What the image names.
        expected: Digest,
        /// What arrived.
        found: Digest,
    },
    /// More or fewer bytes than the manifest names.
    #[error("it has {found} bytes, the image names {expected}: the bytes were damaged or exchanged on the way")]
    Size {
        /// What the image names.
        expected: u64,
        /// What arrived.
        found: u64,
    },
    /// A path leads out of the layer.
    #[error("{path:?} leads out of the image; the image is broken or hostile")]
    Escapes {
        /// The path or link target.
        path: String,
    },
    /// A hard link to something that is not in the layer.
    #[error("{path:?} is a hard link to {target:?}, which is no file of the same layer")]
    HardLink {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// Something lies below a file.
    #[error("{path:?} lies below something that is no directory")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// Too deep, or symbolic links that lead in a circle.
    #[error("{path:?} lies too deep, or its symbolic links lead in a circle")]
    Depth {
        /// The path.
        path: String,
    },
    /// A name that no file can have.
    #[error("{path:?} has a name of more than 255 bytes, which no file system takes")]
    Name {
        /// The path.
        path: String,
    },
    /// A whiteout that names nothing, or a name that is reserved for whiteouts.
    #[error("{path:?} uses a name reserved for whiteouts in a way that has no meaning")]
    Reserved {
        /// The path.
        path: String,
    },
    /// Too many entries.
    #[error("it has more than {entries_max} entries")]
    Entries {
        /// The limit.
        entries_max: u64,
    },
    /// It does not fit.
    #[error("there is no room for it")]
    Budget(#[source] OverBudget),
    /// The file system refused.
    #[error("failed to {operation} {path:?}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which path inside the layer.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The bytes stopped coming because the pull was given up.
    #[error("the pull was given up")]
    Aborted,
}

impl LayerError {
    /// True where fetching the bytes anew may help.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Digest { .. } | Self::Size { .. } => true,
            Self::Tar(_)
            | Self::Compression { .. }
            | Self::Escapes { .. }
            | Self::HardLink { .. }
            | Self::NotADirectory { .. }
            | Self::Depth { .. }
            | Self::Name { .. }
            | Self::Reserved { .. }
            | Self::Entries { .. }
            | Self::Budget(_)
            | Self::Io { .. }
            | Self::Aborted => false,
        }
    }

    /// True where the file system is full, or the quota of whoever writes.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// True where the bytes stopped coming.
    pub(crate) fn is_starved(&self) -> bool {
        matches!(self, Self::Aborted)
    }

    /// True where the fault lies in the bytes, which the digest may explain.
    fn is_content(&self) -> bool {
        match self {
            Self::Tar(_)
            | Self::Compression { .. }
            | Self::Escapes { .. }
            | Self::HardLink { .. }
            | Self::NotADirectory { .. }
            | Self::Depth { .. }
            | Self::Name { .. }
            | Self::Reserved { .. } => true,
            Self::Digest { .. }
            | Self::Size { .. }
            | Self::Entries { .. }
            | Self::Budget(_)
            | Self::Io { .. }
            | Self::Aborted => false,
        }
    }
}

/// Unpacks one layer, plain or compressed with gzip or zstd, into an existing empty directory.
///
/// Blocks on reading and writing. What was unpacked before an error stays: give it a directory of its own and remove
/// that.
///
/// # Errors
/// [`LayerError`], naming the entry at fault.
pub fn unpack_layer(
    source: impl BufRead,
    directory: &Path,
    whiteouts: Whiteouts,
    limits: Limits,
    meter: &mut dyn Meter,
) -> Result<Unpacked, LayerError> {
    unpack_verified(source, &Expected::default(), directory, whiteouts, limits, meter).map(|(unpacked, _)| unpacked)
}
