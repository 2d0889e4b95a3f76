//! Changes that have happened, whole and for good, when they return.

use std::io;
use std::path::Path;

use tink_mutation::Mutation;

use super::Disk;

/// Makes a directory and its parents; Ok when it is there.
pub(crate) fn create_dir(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let mut fresh: Vec<_> = path.ancestors().skip(1).take_while(|parent| disk.list(parent).is_err()).collect();
    disk.create_dir(path)?;
    // A directory is only as durable as its name in the one above, and so is that.
    fresh.insert(0, path);
    fresh.into_iter().filter_map(Path::parent).try_for_each(|parent| disk.sync_dir(parent))
}

/// Makes the names in a directory durable that a life before may have left so that only this kernel knows them.
///
/// A file system that cannot sync a directory, or does not let us, is as durable as it is.
pub(crate) fn settle(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match disk.sync_dir(directory) {
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Ok(()),
        done => done,
    }
}

/// [`settle`] for the directory and every one above it.
pub(crate) fn settle_all(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let mut all = path.ancestors().filter(|directory| !directory.as_os_str().is_empty());
    all.try_for_each(|directory| settle(disk, directory))
}

/// Makes `path` hold `bytes`, whole or not at all: a temporary file, synced, renamed, and the new name synced.
pub(crate) fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = disk.create(&temporary)?;
    file.write_all(bytes)?;
    failpoint(path, "written");
    if !tink_mutation::is(Mutation::SkipFileSync) {
        file.sync()?;
    }
    drop(file);
    failpoint(path, "synced");
    disk.rename(&temporary, path)?;
    failpoint(path, "renamed");
    if tink_mutation::is(Mutation::SkipDirectorySync) {
        return Ok(());
    }
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// Moves a directory inside one parent directory or to another one.
pub(crate) fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    disk.rename(from, to)?;
    let elsewhere = to.parent().filter(|parent| from.parent() != Some(parent));
    [from.parent(), elsewhere].into_iter().flatten().try_for_each(|parent| disk.sync_dir(parent))
}

/// What the name of a directory begins with that is being removed. Nothing below it means anything any more.
pub(crate) const GONE: &str = ".old-";

/// Removes a directory, whole or not at all; Ok when it is not there. What is left where this is cut off has a name that
/// begins with [`GONE`].
pub(crate) fn remove_dir(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(GONE);
    name.push(path.file_name().unwrap_or_default());
    let gone = path.with_file_name(name);
    match rename(disk, path, &gone) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Where there is no room for another name, removing is all the more urgent.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => return disk.remove_dir(path),
        Err(error) => return Err(error),
    }
    disk.remove_dir(&gone)
}

fn failpoint(path: &Path, step: &str) {
    tink_failpoint::hit_with(|| tink_failpoint::journal(&path.file_name().unwrap_or_default().to_string_lossy(), step));
}
