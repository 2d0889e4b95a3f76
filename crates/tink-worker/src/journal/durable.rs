//! Changes that have happened, whole and for good, when they return.

use std::io;
use std::path::Path;

use super::Disk;

/// Makes a directory and its parents; Ok when it is there.
pub(crate) fn create_dir(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.create_dir(path)?;
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// Makes `path` hold `bytes`, whole or not at all: a temporary file, synced, renamed, and the new name synced.
pub(crate) fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = disk.create(&temporary)?;
    file.write_all(bytes)?;
    failpoint(path, "written");
    file.sync()?;
    drop(file);
    failpoint(path, "synced");
    disk.rename(&temporary, path)?;
    failpoint(path, "renamed");
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// Moves a directory inside one parent directory or to another one.
pub(crate) fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    disk.rename(from, to)?;
    [from.parent(), to.parent()].into_iter().flatten().try_for_each(|parent| disk.sync_dir(parent))
}

fn failpoint(path: &Path, step: &str) {
    tink_failpoint::hit_with(|| tink_failpoint::journal(&path.file_name().unwrap_or_default().to_string_lossy(), step));
}
