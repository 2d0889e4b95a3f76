//! The readers' end of the log.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::format::{self, LogItem};
use super::{LOG_DIR, segments};
use crate::watch::Watch;

const READ_BYTES: usize = 64 * 1024;

/// Reads a container's output, from any position, while it is written or after.
pub struct LogReader {
    /// The container's state directory.
    pub(super) container_dir: PathBuf,
    pub(super) watch: Option<Watch>,
    log_dir: PathBuf,
    /// Everything before was handed out.
    position: u64,
    segment: Option<Segment>,
    /// Bytes read from the segment at `position`, not yet handed out; bounded by one line and one read.
    buffer: Vec<u8>,
    /// How much of the buffer was handed out already.
    taken: usize,
}

struct Segment {
    start: u64,
    file: File,
}

impl LogReader {
    /// A reader at the start of the log of the container whose state directory is `container_dir`.
    ///
    /// A log that does not exist (yet) reads as empty.
    #[must_use]
    pub fn open(container_dir: &Path) -> Self {
        Self::open_at(container_dir, 0)
    }

    /// A reader at a position that an earlier one had.
    #[must_use]
    pub fn open_at(container_dir: &Path, position: u64) -> Self {
        Self {
            container_dir: container_dir.to_owned(),
            watch: None,
            log_dir: container_dir.join(LOG_DIR),
            position,
            segment: None,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Where the next item starts: kept, it is where a later reader goes on.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next item that is there, or nothing for now.
    ///
    /// # Errors
    /// The log's files cannot be read.
    pub fn next_item(&mut self) -> Result<Option<LogItem>, LogError> {
        loop {
            if let Some(item) = self.buffered() {
                return Ok(Some(item));
            }
            if self.segment.is_none() {
                match self.enter()? {
                    Entered::Nothing => return Ok(None),
                    Entered::There => {}
                    Entered::After(bytes) => return Ok(Some(LogItem::Lost { bytes })),
                }
            }
            // Looked for before reading: once the next segment exists, nothing more comes into this one.
            let is_complete = self.has_next()?;
            if self.fill()? {
                continue;
            }
            if !is_complete {
                return Ok(None);
            }
            self.segment = None;
            self.buffer.clear();
            self.taken = 0;
        }
    }

    /// The next whole line in the buffer.
    fn buffered(&mut self) -> Option<LogItem> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n')?;
        let item = format::decode(rest.get(..length).unwrap_or_default());
        let bytes = length as u64 + 1;
        self.taken += length + 1;
        self.position += bytes;
        // A position that was none of ours, or a damaged disk: named, skipped, and the next line is whole again.
        Some(item.unwrap_or(LogItem::Lost { bytes }))
    }

    /// Opens the segment that holds the position, or the first one after it.
    fn enter(&mut self) -> Result<Entered, LogError> {
        // The writer may remove the oldest segment between the two calls; the next round finds the one after it.
        for _ in 0..8 {
            let starts = segments::list(&self.log_dir).map_err(|source| self.error(source))?;
            let before = starts.iter().rev().find(|start| **start <= self.position);
            let Some(&start) = before.or(starts.first()) else { return Ok(Entered::Nothing) };
            let file = match File::open(segments::path(&self.log_dir, start)) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(self.error(source)),
            };
            self.segment = Some(Segment { start, file });
            if start <= self.position {
                return Ok(Entered::There);
            }
            let lost = start - self.position;
            self.position = start;
            return Ok(Entered::After(lost));
        }
        Ok(Entered::Nothing)
    }

    fn has_next(&self) -> Result<bool, LogError> {
        let Some(segment) = &self.segment else { return Ok(false) };
        let starts = segments::list(&self.log_dir).map_err(|source| self.error(source))?;
        Ok(starts.last().is_some_and(|last| *last > segment.start))
    }

    /// Reads on; `false` at the end of what is there.
    ///
    /// The beginning of a line is read again with its rest: on a full disk the writer takes back a line that it could not
    /// finish, and another one may be there by now.
    fn fill(&mut self) -> Result<bool, LogError> {
        let Some(segment) = &self.segment else { return Ok(false) };
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + READ_BYTES, 0);
        let read = read_most(&segment.file, &mut self.buffer, self.position - segment.start);
        self.buffer.truncate(read.as_ref().copied().unwrap_or(0));
        Ok(read.map_err(|source| self.error(source))? > held || self.buffer.contains(&b'\n'))
    }

    pub(super) fn error(&self, source: std::io::Error) -> LogError {
        LogError { dir: self.log_dir.clone(), source }
    }
}

/// Reads until the buffer is full or the file at its end.
fn read_most(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut there = 0;
    while let Some(rest) = buffer.get_mut(there..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + there as u64) {
            Ok(0) => break,
            Ok(read) => there += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(there)
}

enum Entered {
    Nothing,
    There,
    After(u64),
}

/// A log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the container log in {dir:?}")]
pub struct LogError {
    dir: PathBuf,
    source: std::io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::format::{LineEnd, Stream};
    use crate::log::writer::LogWriter;
    use crate::spec::LogLimits;

    const SMALL: LogLimits = LogLimits { bytes_max: 512 * 1024 };

    fn writer(dir: &Path, limits: LogLimits) -> LogWriter {
        LogWriter::create(&dir.join(LOG_DIR), limits).unwrap()
    }

    fn texts(reader: &mut LogReader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_item().unwrap())
            .map(|item| match item {
                LogItem::Line(line) => String::from_utf8(line.bytes).unwrap(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_reader_goes_on_where_an_earlier_one_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), SMALL);
        for number in 0..10 {
            writer.line(Stream::Stdout, format!("line {number}").as_bytes(), LineEnd::Newline);
        }
        writer.flush();
        let mut first = LogReader::open(dir.path());
        for _ in 0..4 {
            first.next_item().unwrap();
        }
        let mut second = LogReader::open_at(dir.path(), first.position());
        assert_eq!(texts(&mut second).first().unwrap(), "line 4");
        writer.line(Stream::Stdout, b"later", LineEnd::Newline);
        writer.flush();
        assert_eq!(texts(&mut second), ["later"]);
    }

    #[test]
    fn a_log_stays_within_its_bound_and_a_late_reader_learns_what_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), SMALL);
        let mut expected = 0;
        for number in 0..100_000 {
            writer.line(Stream::Stderr, format!("{number:06}").as_bytes(), LineEnd::Newline);
            expected += 32 + 6 + 1;
        }
        writer.flush();
        let on_disk: u64 =
            std::fs::read_dir(dir.path().join(LOG_DIR)).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!((SMALL.bytes_max / 2..=SMALL.bytes_max).contains(&on_disk), "{on_disk}");
        let mut reader = LogReader::open(dir.path());
        let Some(LogItem::Lost { bytes }) = reader.next_item().unwrap() else { panic!("nothing lost") };
        let read = texts(&mut reader);
        assert_eq!(read.last().unwrap(), "099999");
        assert_eq!(bytes + 39 * read.len() as u64, expected);
        assert_eq!(reader.position(), expected);
    }

    #[test]
    fn a_follower_that_keeps_up_loses_nothing_over_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), SMALL);
        let mut reader = LogReader::open(dir.path());
        let mut read = Vec::new();
        for number in 0..50_000 {
            writer.line(Stream::Stdout, number.to_string().as_bytes(), LineEnd::Newline);
            if number % 100 == 0 {
                writer.flush();
                read.extend(texts(&mut reader));
            }
        }
        writer.flush();
        read.extend(texts(&mut reader));
        assert_eq!(read, (0..50_000).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn half_a_line_at_the_end_waits_for_its_rest() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(LOG_DIR);
        std::fs::create_dir(&log).unwrap();
        let file = segments::path(&log, 0);
        std::fs::write(&file, "2026-11-23T10:00:00.123456Z o F ha").unwrap();
        let mut reader = LogReader::open(dir.path());
        assert_eq!(reader.next_item().unwrap(), None);
        std::fs::write(&file, "2026-11-23T10:00:00.123456Z o F half\n").unwrap();
        assert_eq!(texts(&mut reader), ["half"]);
    }

    #[test]
    fn a_line_that_is_taken_back_half_read_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(LOG_DIR);
        std::fs::create_dir(&log).unwrap();
        let file = segments::path(&log, 0);
        let stamp = "2026-11-23T10:00:00.123456Z";
        std::fs::write(&file, format!("{stamp} o F first\n{stamp} o F a long line that is not yet whol")).unwrap();
        let mut reader = LogReader::open(dir.path());
        assert_eq!(texts(&mut reader), ["first"]);
        std::fs::write(&file, format!("{stamp} o F first\n")).unwrap();
        assert_eq!(texts(&mut reader), Vec::<String>::new());
        std::fs::write(
            &file,
            format!("{stamp} o F first\n{stamp} o F second\n{stamp} o F third, and longer than what was there\n"),
        )
        .unwrap();
        assert_eq!(texts(&mut reader), ["second", "third, and longer than what was there"]);
    }

    /// As root, with a file system that is full after a few pages.
    #[test]
    fn a_follower_on_a_full_disk_sees_whole_lines_and_every_gap_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mount =
            |args: &[&str]| assert!(std::process::Command::new(args[0]).args(&args[1..]).status().unwrap().success());
        let path = dir.path().to_str().unwrap();
        mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "none", path]);
        let mut writer = writer(dir.path(), SMALL);
        let mut reader = LogReader::open(dir.path());
        let ballast = dir.path().join("ballast");
        std::fs::write(&ballast, vec![0; 40_000]).unwrap();
        let (mut read, mut dropped) = (Vec::new(), 0);
        let mut take = |reader: &mut LogReader| {
            while let Some(item) = reader.next_item().unwrap() {
                match item {
                    LogItem::Line(line) => read.push(String::from_utf8(line.bytes).unwrap()),
                    LogItem::Dropped { lines, .. } => dropped += lines,
                    LogItem::Lost { .. } => panic!("{item:?}"),
                }
            }
        };
        let text = |number: u32| format!("{number:03} {}", "x".repeat(60));
        for number in 0..700 {
            writer.line(Stream::Stdout, text(number).as_bytes(), LineEnd::Newline);
            if number % 37 == 0 {
                writer.flush();
                take(&mut reader);
            }
            if number == 600 {
                std::fs::remove_file(&ballast).unwrap();
            }
        }
        writer.flush();
        std::fs::write(dir.path().join("more"), vec![0; 65_536]).unwrap_err();
        writer.line(Stream::Stdout, "the disk is full to the end".repeat(500).as_bytes(), LineEnd::Newline);
        writer.flush();
        take(&mut reader);
        std::fs::remove_file(dir.path().join("more")).unwrap();
        writer.note_dropped();
        take(&mut reader);
        let totals = writer.totals();
        drop((reader, writer));
        mount(&["umount", path]);
        assert!(totals.dropped_lines > 100, "{totals:?}");
        assert_eq!((read.len() as u64, dropped), (totals.lines, totals.dropped_lines));
        assert_eq!(totals.lines + totals.dropped_lines, 701);
        let mut numbers = read.iter().map(|line| line.get(..3).unwrap().parse::<u32>().unwrap());
        assert!(numbers.clone().is_sorted() && numbers.all(|number| read.contains(&text(number))));
    }

    #[test]
    fn a_position_in_the_middle_of_a_line_costs_that_line_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), SMALL);
        writer.line(Stream::Stdout, b"first", LineEnd::Newline);
        writer.line(Stream::Stdout, b"second", LineEnd::Newline);
        writer.flush();
        let mut reader = LogReader::open_at(dir.path(), 5);
        assert_eq!(texts(&mut reader), ["Lost { bytes: 33 }", "second"]);
    }
}
