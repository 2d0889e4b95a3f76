//! An action's output on disk: bounded, the newest kept, and the place up to which it was delivered.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tink_mutation::Mutation;
use tink_runtime::LogPosition;
use tracing::warn;

use super::{Disk, DiskFile};

/// Output of one attempt, in segments named by the number of their first line.
///
/// ```text
/// 1795428000123456789.2.1 what the program printed
/// ```
///
/// Before each line stands the place behind it in the engine's log. So it is not stored beside the output but with it, and
/// the two cannot disagree: a line is delivered when its newline is in the file.
pub(crate) struct LogFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    attempt: u32,
    segment_bytes_max: u64,
    /// First lines of the segments on disk.
    segments: Vec<u64>,
    lines: u64,
    /// Behind the last line.
    position: LogPosition,
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
            position: LogPosition::START,
            bytes: 0,
            file: None,
            failing: false,
        };
        log.find_end();
        if tink_mutation::is(Mutation::LogFromZero) {
            log.position = LogPosition::START;
        }
        log
    }

    /// Reads where the log ends. Its newest segment may have been made and not have a line yet.
    fn find_end(&mut self) {
        for (nth, first) in self.segments.iter().rev().enumerate() {
            let path = self.path(*first);
            let end = match End::read(self.disk.as_ref(), &path) {
                Ok(end) => end,
                Err(error) => {
                    warn!(path = %path.display(), %error, "the action's log cannot be read");
                    End::default()
                }
            };
            if nth == 0 {
                (self.lines, self.bytes) = (first + end.lines, end.bytes);
            }
            if let Some(position) = end.position {
                self.position = position;
                return;
            }
        }
    }

    /// The place in the engine's log up to which its output was delivered, whether or not the disk took it.
    pub(crate) fn position(&self) -> LogPosition {
        self.position
    }

    /// Appends a line that ends at this place. Where the disk does not take it, it is counted and lost, and that is logged
    /// once.
    pub(crate) fn append(&mut self, line: &[u8], end: LogPosition) {
        let mut whole = end.to_string().into_bytes();
        whole.push(b' ');
        whole.extend_from_slice(line);
        whole.push(b'\n');
        let result = self.write(&whole);
        self.lines += 1;
        self.position = end;
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
        file.write_all(line)?;
        self.bytes += line.len() as u64;
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

    /// The last lines on disk, without their places: at most `bytes_max` bytes as they are stored.
    pub(crate) fn tail(&self, bytes_max: u64) -> Vec<Vec<u8>> {
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
        all.split_inclusive(|byte| *byte == b'\n').filter_map(whole_line).map(|(_, line)| line.to_vec()).collect()
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

/// Where a segment ends.
#[derive(Default)]
struct End {
    /// Whole ones.
    lines: u64,
    /// Of whole lines.
    bytes: u64,
    /// Behind the last one.
    position: Option<LogPosition>,
}

impl End {
    fn read(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let bytes = disk.read(path, u64::MAX)?.unwrap_or_default();
        let mut end = Self::default();
        for stored in bytes.split_inclusive(|byte| *byte == b'\n') {
            if let Some((position, _)) = whole_line(stored) {
                (end.lines, end.bytes) = (end.lines + 1, end.bytes + stored.len() as u64);
                end.position = position.or(end.position);
            }
        }
        Ok(end)
    }
}

/// A line as it is stored: the place behind it, and its text; nothing where its newline is missing.
fn whole_line(stored: &[u8]) -> Option<(Option<LogPosition>, &[u8])> {
    let line = stored.strip_suffix(b"\n")?;
    let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (place, text) = line.split_at(space);
    let position = std::str::from_utf8(place).ok().and_then(|place| place.parse().ok());
    Some((position, text.strip_prefix(b" ").unwrap_or(text)))
}

fn read_tail(disk: &dyn Disk, path: &Path, bytes_max: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let bytes = disk.read(path, u64::MAX)?.unwrap_or_default();
    // One byte more, so that the caller sees whether a line was cut.
    let keep = usize::try_from(bytes_max.saturating_add(1)).unwrap_or(usize::MAX);
    into.extend_from_slice(&bytes[bytes.len().saturating_sub(keep)..]);
    Ok(())
}
