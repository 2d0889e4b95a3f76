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

/// Syncs every directory above `path`: whoever made them before may have failed to.
///
/// A file system that cannot sync a directory, or does not let us, is as durable as it is.
pub(crate) fn settle(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    let mut parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    parents.try_for_each(|parent| match disk.sync_dir(parent) {
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Ok(()),
        done => done,
    })
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
    [from.parent(), to.parent()].into_iter().flatten().try_for_each(|parent| disk.sync_dir(parent))
}

fn failpoint(path: &Path, step: &str) {
    tink_failpoint::hit_with(|| tink_failpoint::journal(&path.file_name().unwrap_or_default().to_string_lossy(), step));
}
