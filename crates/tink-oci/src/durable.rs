//! Files that are there as a whole or not at all.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How much a file's writer cares for a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// On disk when the call returns.
    Durable,
    /// Whole for every reader, but the disk may come later: what it says means nothing after a reboot.
    Atomic,
}

/// Writes `bytes` to `dir/name` under a temporary name, readable by root alone, and renames it into place.
pub(crate) fn write_file(dir: &Path, name: &str, bytes: &[u8], sync: Sync) -> std::io::Result<()> {
    let temporary = dir.join(format!(".{name}.new"));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    if sync == Sync::Durable {
        file.sync_all()?;
    }
    std::fs::rename(&temporary, dir.join(name))?;
    if sync == Sync::Durable {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
