//! An action's output on disk: bounded, the newest kept, and the count of what was delivered.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tink_mutation::Mutation;
use tracing::warn;

use super::{Disk, DiskFile};

/// Output of one attempt, in segments named by the number of their first line.
///
/// The number of lines delivered so far is not stored beside the log but read from it, so the two cannot disagree: a
/// line is delivered when its newline is in the file.
pub(crate) struct LogFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    attempt: u32,
    segment_bytes_max: u64,
    /// First lines of the segments on disk.
    segments: Vec<u64>,
    lines: u64,
    bytes: u64,
    file: Option<Box<dyn DiskFile>>,
    failing: bool,
}

impl LogFile {
    /// Opens the log of an attempt after its last whole line; a half line that a crash left is cut off and will be
    /// delivered again. A log that cannot be read starts anew: output is never a reason to fail an action.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, attempt: u32, bytes_max: u64) -> Self {
        let segments = segments(disk.as_ref(), dir, attempt);
        let mut log = Self {
            disk,
            dir: dir.to_owned(),
            attempt,
            segment_bytes_max: (bytes_max / 2).max(1),
            segments,
            lines: 0,
            bytes: 0,
            file: None,
            failing: false,
        };
        if let Some(first) = log.segments.last().copied() {
            match count(log.disk.as_ref(), &log.path(first)) {
                Ok((lines, bytes)) => (log.lines, log.bytes) = (first + lines, bytes),
                Err(error) => warn!(path = %log.path(first).display(), %error, "the action's log cannot be read"),
            }
        }
        if tink_mutation::is(Mutation::LogFromZero) {
            log.lines = 0;
        }
        log
    }

    /// Lines delivered so far, those that were dropped from the disk included.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Appends a line. Where the disk does not take it, it is counted and lost, and that is logged once.
    pub(crate) fn append(&mut self, line: &[u8]) {
        let result = self.write(line);
        self.lines += 1;
        match result {
            Ok(()) => self.failing = false,
            Err(error) => {
                // What was written of the line is unknown: go on in a fresh segment, whose name holds the count.
                self.file = None;
                self.bytes = u64::MAX;
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(dir = %self.dir.display(), %error, "the action's output cannot be stored and is only shown");
                }
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.segments.is_empty() || self.bytes.saturating_add(line.len() as u64) > self.segment_bytes_max {
            self.roll()?;
        }
        let path = self.path(self.segments.last().copied().unwrap_or(0));
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.disk.append(&path, self.bytes)?),
        };
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        whole.push(b'\n');
        file.write_all(&whole)?;
        self.bytes += whole.len() as u64;
        Ok(())
    }

    /// Begins a segment at the present line and drops all but the one before.
    fn roll(&mut self) -> io::Result<()> {
        self.file = None;
        if self.segments.last() != Some(&self.lines) {
            self.segments.push(self.lines);
        }
        self.bytes = 0;
        while self.segments.len() > 2 {
            let oldest = self.segments.remove(0);
            self.disk.remove_file(&self.path(oldest))?;
        }
        Ok(())
    }

    /// The last `bytes_max` bytes of what is on disk, from a line's start on.
    pub(crate) fn tail(&self, bytes_max: u64) -> Vec<u8> {
        let mut all = Vec::new();
        for first in &self.segments {
            if let Err(error) = read_tail(self.disk.as_ref(), &self.path(*first), bytes_max, &mut all) {
                warn!(path = %self.path(*first).display(), %error, "the action's log cannot be read");
            }
        }
        let over = all.len().saturating_sub(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        if over > 0 {
            let start = all[over..].iter().position(|byte| *byte == b'\n').map_or(all.len(), |at| over + at + 1);
            all.drain(..start);
        }
        all
    }

    fn path(&self, first: u64) -> PathBuf {
        self.dir.join(format!("log-{}.{first:08}", self.attempt))
    }
}

/// The log that hooks share, beside those of attempts, which count from 1.
pub(crate) const HOOKS: u32 = 0;

/// Removes what is there of the logs of attempts, hooks left out.
pub(super) fn remove_all(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let of_hooks = format!("log-{HOOKS}.");
    for name in disk.list(dir)? {
        let text = name.to_string_lossy();
        if text.starts_with("log-") && !text.starts_with(&of_hooks) {
            disk.remove_file(&dir.join(&name))?;
        }
    }
    Ok(())
}

fn segments(disk: &dyn Disk, dir: &Path, attempt: u32) -> Vec<u64> {
    let prefix = format!("log-{attempt}.");
    let mut all: Vec<u64> = disk
        .list(dir)
        .into_iter()
        .flatten()
        .filter_map(|name| name.to_str()?.strip_prefix(&prefix)?.parse().ok())
        .collect();
    all.sort_unstable();
    all
}

/// Whole lines of a file, and their bytes.
fn count(disk: &dyn Disk, path: &Path) -> io::Result<(u64, u64)> {
    let bytes = disk.read(path, u64::MAX)?.unwrap_or_default();
    let (mut lines, mut whole) = (0, 0);
    for (nth, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        lines += 1;
        whole = nth as u64 + 1;
    }
    Ok((lines, whole))
}

fn read_tail(disk: &dyn Disk, path: &Path, bytes_max: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let bytes = disk.read(path, u64::MAX)?.unwrap_or_default();
    // One byte more, so that the caller sees whether a line was cut.
    let keep = usize::try_from(bytes_max.saturating_add(1)).unwrap_or(usize::MAX);
    into.extend_from_slice(&bytes[bytes.len().saturating_sub(keep)..]);
    Ok(())
}
