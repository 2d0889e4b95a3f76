//! The files a log consists of.

use std::path::{Path, PathBuf};

/// The file of the segment whose first byte is at `start`.
pub(super) fn path(log_dir: &Path, start: u64) -> PathBuf {
    log_dir.join(format!("{start:020}.log"))
}

/// The first positions of all segments, ascending; none where there is no log.
pub(super) fn list(log_dir: &Path) -> std::io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(log_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut starts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        starts.extend(
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|start| start.parse::<u64>().ok()),
        );
    }
    starts.sort_unstable();
    Ok(starts)
}
