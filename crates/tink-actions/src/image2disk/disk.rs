//! Writes a stream onto a disk or a plain file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt as _;

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
            Self::Source(error) => ActionError::Download {
                url: super::download::without_password(url),
                reason: error.to_string(),
                retryable: false,
            },
            Self::Disk(error) => error,
        }
    }
}

/// Copies everything from `source` to `path`, syncs it, and has the kernel read the new partition table.
///
/// Returns the number of bytes; `tick` is called with it on the way.
pub fn write(path: &str, source: &mut dyn Read, mut tick: impl FnMut(u64)) -> Result<u64, CopyError> {
    let disk_error = |doing| move |error| CopyError::Disk(ActionError::io(doing, path)(error));
    // Not O_CREAT on /dev: a mistyped device must not become a file in RAM.
    let create = !path.starts_with("/dev/");
    let mut disk =
        OpenOptions::new().write(true).create(create).truncate(false).open(path).map_err(disk_error("open"))?;
    let block_device = disk.metadata().map_err(disk_error("look at"))?.file_type().is_block_device();
    let mut piece = vec![0_u8; PIECE_BYTES];
    let mut written = 0_u64;
    loop {
        let length = fill(source, &mut piece).map_err(CopyError::Source)?;
        if length == 0 {
            break;
        }
        put(&mut disk, written, &piece[..length]).map_err(disk_error("write to"))?;
        written += length as u64;
        tick(written);
    }
    disk.sync_all().map_err(disk_error("sync"))?;
    if block_device {
        reread_partitions(&mut disk).map_err(disk_error("read the partition table of"))?;
    }
    Ok(written)
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

/// Writes one piece. A piece of zeros is left to the disk or the file system, which clears a range far faster than it is
/// written, and keeps a plain file sparse; where it cannot, the zeros are written.
fn put(disk: &mut File, at: u64, piece: &[u8]) -> io::Result<()> {
    if piece.iter().all(|byte| *byte == 0) {
        let length = piece.len() as u64;
        let cleared = rustix::fs::fallocate(&*disk, FallocateFlags::ZERO_RANGE, at, length);
        if cleared.is_ok() {
            disk.seek(SeekFrom::Start(at + length))?;
            return Ok(());
        }
    }
    disk.write_all(piece)
}

/// Has the kernel look at the new partitions. A disk in use keeps its old ones until the next boot, which is no failure of
/// the write: today's action only logs it as well.
fn reread_partitions(disk: &mut File) -> io::Result<()> {
    match gptman::linux::reread_partition_table(disk) {
        Ok(()) => Ok(()),
        Err(error) => {
            eprintln!("the kernel keeps the old partition table for now: {error}");
            Ok(())
        }
    }
}
