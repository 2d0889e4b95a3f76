//! Writes a stream onto a disk or a plain file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FallocateFlags;

use crate::ActionError;

/// Read, compared with zero and written in pieces of this size, a multiple of every sector size in use.
const PIECE_BYTES: usize = 1 << 20;

/// What went wrong while copying: on which side.
pub enum CopyError {
    /// Reading the image, which is also where a broken or corrupt download shows.
    Source(io::Error),
    /// Anything on the disk.
    Disk(ActionError),
}

impl CopyError {
    /// Says where the image came from.
    pub fn or_download(self, url: &str) -> ActionError {
        match self {
            Self::Source(error) => {
                ActionError::Download { url: super::download::without_password(url), reason: error.to_string() }
            }
            Self::Disk(error) => error,
        }
    }
}

/// What is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    BlockDevice,
    File,
    Other,
}

/// Copies everything from `source` to `path`, syncs it, and has the kernel read the new partition table.
///
/// Returns the number of bytes; `so_far` shows it on the way.
pub fn write(path: &str, source: &mut dyn Read, so_far: &AtomicU64) -> Result<u64, CopyError> {
    let disk_error = |doing| move |error| CopyError::Disk(ActionError::io(doing, path)(error));
    // Not O_CREAT on /dev: a mistyped device must not become a file in RAM.
    let create = !path.starts_with("/dev/");
    let mut disk =
        OpenOptions::new().write(true).create(create).truncate(false).open(path).map_err(disk_error("open"))?;
    let found = disk.metadata().map_err(disk_error("look at"))?.file_type();
    let kind = match () {
        () if found.is_block_device() => Kind::BlockDevice,
        () if found.is_file() => Kind::File,
        () => Kind::Other,
    };
    let mut piece = vec![0_u8; PIECE_BYTES];
    let mut written = 0_u64;
    loop {
        let length = fill(source, &mut piece).map_err(CopyError::Source)?;
        if length == 0 {
            break;
        }
        put(&mut disk, kind, written, &piece[..length]).map_err(disk_error("write to"))?;
        written += length as u64;
        so_far.store(written, Ordering::Relaxed);
    }
    if kind == Kind::File {
        reach(&disk, written).map_err(disk_error("set the length of"))?;
    }
    disk.sync_all().map_err(disk_error("sync"))?;
    match kind {
        Kind::BlockDevice => reread_partitions(&mut disk),
        Kind::File => sync_name(path).map_err(disk_error("sync the directory of"))?,
        Kind::Other => {}
    }
    Ok(written)
}

/// A file that was not there before is found after a power cut only when its directory was synced, too.
fn sync_name(path: &str) -> io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Fills `piece` as far as the source goes.
fn fill(source: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < piece.len() {
        match source.read(&mut piece[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Writes one piece. A piece of zeros is left to the disk, which clears a range far faster than it is written; in a plain
/// file it becomes a hole. Where that cannot be, the zeros are written.
fn put(disk: &mut File, kind: Kind, at: u64, piece: &[u8]) -> io::Result<()> {
    let clear = match kind {
        Kind::BlockDevice => Some(FallocateFlags::ZERO_RANGE),
        // A range beyond the end takes no space; the file is made longer at last.
        Kind::File => Some(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE),
        Kind::Other => None,
    };
    if let Some(clear) = clear.filter(|_| piece.iter().all(|byte| *byte == 0)) {
        let length = piece.len() as u64;
        if rustix::fs::fallocate(&*disk, clear, at, length).is_ok() {
            disk.seek(SeekFrom::Start(at + length))?;
            return Ok(());
        }
    }
    disk.write_all(piece)
}

/// Makes a file at least so long: it may end in a hole.
fn reach(file: &File, bytes: u64) -> io::Result<()> {
    if file.metadata()?.len() < bytes { file.set_len(bytes) } else { Ok(()) }
}

/// Has the kernel look at the new partitions. A disk in use keeps its old ones until the next boot, which is no failure of
/// the write: today's action only logs it as well.
fn reread_partitions(disk: &mut File) {
    if let Err(error) = gptman::linux::reread_partition_table(disk) {
        eprintln!("the kernel keeps the old partition table for now: {error}");
    }
}
