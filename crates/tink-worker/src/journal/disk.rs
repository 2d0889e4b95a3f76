//! The journal's seam to the file system.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What the journal needs of a disk: what a kernel offers, no more. What is done is durable only after a sync, of the file
/// for its content and of the directory for its name; [`durable`](super::durable) puts the two together.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Whether calls may take long, and are to be made on a thread that may wait.
    fn may_block(&self) -> bool {
        true
    }
    /// Makes a directory and its parents; Ok when it is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes an empty file, also where there was one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for appending after its first `keep` bytes.
    fn append(&self, path: &Path, keep: u64) -> io::Result<Box<dyn DiskFile>>;
    /// Moves a file or a directory; a file that was there is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a directory and what is in it; Ok when it is not there.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file; Ok when it is not there.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// The content of a file, at most its first `bytes_max`; `None` when it is not there.
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>>;
    /// Bytes of a file.
    fn len(&self, path: &Path) -> io::Result<u64>;
}

/// A file that is open for writing.
pub trait DiskFile: Write + Send {
    /// Makes its content durable.
    fn sync(&mut self) -> io::Result<()>;
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The file system. Directories are made with mode 0700 and files with 0600: assignments hold secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn append(&self, path: &Path, keep: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        if file.metadata()?.len() > keep {
            file.set_len(keep)?;
        }
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        unless_missing(fs::remove_dir_all(path))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        unless_missing(fs::remove_file(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // The parent of a relative one-component path is the empty path.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut names: Vec<_> =
            fs::read_dir(path)?.map(|file| file.map(|file| file.file_name())).collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|meta| meta.len())
    }
}
