//! The journal's seam to the file system.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What the journal needs of a disk. Every call has happened, durably, when it returns.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory and its parents; Ok when it is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes `path` hold `bytes`, whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Moves a directory inside one parent directory or to another one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a directory and what is in it; Ok when it is not there.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file; Ok when it is not there.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Opens a file for appending after its first `keep` bytes. What is written need not be durable.
    fn append(&self, path: &Path, keep: u64) -> io::Result<Box<dyn Write + Send>>;
}

/// The file system. Directories are made with mode 0700 and files with 0600: assignments hold secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        path.parent().map_or(Ok(()), sync_dir)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        failpoint(path, "written");
        file.sync_all()?;
        drop(file);
        failpoint(path, "synced");
        fs::rename(&temporary, path)?;
        failpoint(path, "renamed");
        path.parent().map_or(Ok(()), sync_dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        for parent in [from.parent(), to.parent()].into_iter().flatten() {
            sync_dir(parent)?;
        }
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn append(&self, path: &Path, keep: u64) -> io::Result<Box<dyn Write + Send>> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        if file.metadata()?.len() > keep {
            file.set_len(keep)?;
        }
        Ok(Box::new(file))
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    // The parent of a relative one-component path is the empty path.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

fn failpoint(path: &Path, step: &str) {
    tink_failpoint::hit_with(|| tink_failpoint::journal(&path.file_name().unwrap_or_default().to_string_lossy(), step));
}
