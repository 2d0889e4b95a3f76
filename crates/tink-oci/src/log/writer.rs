//! The shim's end of the log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::format::{self, LineEnd, Stream};
use super::segments;
use crate::boot;
use crate::exit::LogTotals;
use crate::spec::LogLimits;

const SEGMENTS: u64 = 4;
/// Room for a batch below and the longest line on top of it.
const SEGMENT_BYTES_MIN: u64 = 128 * 1024;
const BATCH_BYTES: usize = 32 * 1024;

/// Writes lines to the segments. A disk that is full or fails costs lines, which are counted, and never the container's time.
pub(crate) struct LogWriter {
    dir: PathBuf,
    segment_bytes_max: u64,
    /// First positions of the segments there are; the last is the one being written.
    starts: VecDeque<u64>,
    file: Option<File>,
    /// Bytes in the segment being written.
    written: u64,
    batch: Vec<u8>,
    batch_lines: u64,
    batch_bytes: u64,
    time: String,
    /// Dropped, and not yet noted in the log.
    unnoted: (u64, u64),
    totals: LogTotals,
}

impl LogWriter {
    /// Starts a log in `dir`, which is made. Fails only where not even the directory can be made.
    pub(crate) fn create(dir: &Path, limits: LogLimits) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            segment_bytes_max: (limits.bytes_max / SEGMENTS).max(SEGMENT_BYTES_MIN),
            starts: VecDeque::new(),
            file: None,
            written: 0,
            batch: Vec::with_capacity(BATCH_BYTES),
            batch_lines: 0,
            batch_bytes: 0,
            time: String::new(),
            unnoted: (0, 0),
            totals: LogTotals::default(),
        })
    }

    /// Adds a line; it is in the file after the next [`Self::flush`] at the latest.
    pub(crate) fn line(&mut self, stream: Stream, bytes: &[u8], end: LineEnd) {
        if self.batch.is_empty() {
            // One look at the clock for all that one read of a pipe gave.
            self.time = format::stamp(boot::now());
        }
        format::encode(&mut self.batch, &self.time, stream, end, bytes);
        self.batch_lines += 1;
        self.batch_bytes += bytes.len() as u64;
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Writes what was added.
    pub(crate) fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.write_out();
        }
    }

    /// Says in the log what was dropped, if that is not said yet: for when no line comes any more that it could precede.
    pub(crate) fn note_dropped(&mut self) {
        if self.unnoted != (0, 0) {
            self.time = format::stamp(boot::now());
            self.write_out();
        }
    }

    /// Writes what there is to say; what finds no room is dropped.
    fn write_out(&mut self) {
        let mut note = Vec::new();
        if self.unnoted != (0, 0) {
            format::encode_dropped(&mut note, &self.time, self.unnoted.0, self.unnoted.1);
        }
        let note_length = note.len();
        note.append(&mut self.batch);
        self.batch = note;
        let kept = self.write_batch();
        if kept >= note_length {
            self.unnoted = (0, 0);
        }
        let (lines, bytes) = format::content(self.batch.get(note_length..kept).unwrap_or_default());
        self.totals.lines += lines;
        self.totals.bytes += bytes;
        let (lines, bytes) = (self.batch_lines.saturating_sub(lines), self.batch_bytes.saturating_sub(bytes));
        self.unnoted.0 += lines;
        self.unnoted.1 += bytes;
        self.totals.dropped_lines += lines;
        self.totals.dropped_bytes += bytes;
        self.batch.clear();
        (self.batch_lines, self.batch_bytes) = (0, 0);
    }

    /// What became of all lines so far.
    pub(crate) fn totals(&self) -> LogTotals {
        self.totals
    }

    /// Gives the log's disk space back: the last resort when the exit record finds no room.
    pub(crate) fn discard(&mut self) {
        self.file = None;
        for start in self.starts.drain(..) {
            let _ = std::fs::remove_file(segments::path(&self.dir, start));
        }
    }

    /// Writes the batch; gives how much of it is in the log, all of it whole lines.
    fn write_batch(&mut self) -> usize {
        let is_full = self.written + self.batch.len() as u64 > self.segment_bytes_max;
        if (self.file.is_none() || is_full) && self.next_segment().is_err() {
            return 0;
        }
        let Some(file) = &mut self.file else { return 0 };
        let there = write_most(file, &self.batch);
        let mut kept = there;
        if there < self.batch.len() {
            // A reader may have the whole lines already: they stay. The next write must follow the last of them.
            let lines = self.batch.get(..there).unwrap_or_default();
            kept = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let end = self.written + kept as u64;
            // Where the rest cannot be cut off it is written over.
            let _ = file.set_len(end);
            let _ = file.seek(std::io::SeekFrom::Start(end));
        }
        self.written += kept as u64;
        kept
    }

    fn next_segment(&mut self) -> std::io::Result<()> {
        while self.starts.len() as u64 >= SEGMENTS {
            if let Some(oldest) = self.starts.pop_front() {
                std::fs::remove_file(segments::path(&self.dir, oldest))?;
            }
        }
        let start = self.starts.back().map_or(0, |last| last + self.written);
        let path = segments::path(&self.dir, start);
        self.file = Some(File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?);
        if self.starts.back() != Some(&start) {
            self.starts.push_back(start);
        }
        self.written = 0;
        Ok(())
    }
}

/// Writes until nothing more goes; gives how much did.
fn write_most(file: &mut impl Write, bytes: &[u8]) -> usize {
    let mut there = 0;
    while let Some(rest) = bytes.get(there..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => break,
            Ok(written) => there += written,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    there
}
