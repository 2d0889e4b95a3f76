//! The entries of a container's log, as the daemon sends them with their times.
//!
//! An entry is what the daemon read from the program in one piece: a line with its newline, or 16 KiB of a longer one; all
//! pieces of a line have the time of the first. Without a terminal each entry is a frame of its own. With one the entries
//! are not framed: the next begins behind a newline, or, inside a line, where that line's own time stands again.

use tink_workflow::Timestamp;

use super::call::Failure;
use super::output::Output;
use crate::OutputStream;

/// No log driver has longer ones.
const ENTRY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// `2026-11-23T10:00:00.123456789+01:00`, and some room.
const STAMP_BYTES_MAX: usize = 40;

/// One entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stream: OutputStream,
    /// Nanoseconds since 1970, by the machine's clock, which may have been set back meanwhile.
    pub(super) time: u64,
    pub(super) bytes: Vec<u8>,
}

/// Takes entries from a stream that was opened with `timestamps=1`.
pub(super) struct Entries {
    output: Output,
    buffer: Buffer,
}

impl Entries {
    pub(super) fn new(output: Output, tty: bool) -> Self {
        Self { output, buffer: Buffer { tty, bytes: Vec::new() } }
    }

    /// The next entry; `None` at the end. A dropped call loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, Failure> {
        loop {
            if let Some(entry) = self.buffer.unframed()? {
                return Ok(Some(entry));
            }
            match self.output.next().await? {
                Some((stream, bytes)) => {
                    self.buffer.add(&bytes)?;
                    if !self.buffer.tty && self.output.is_between_frames() {
                        let length = self.buffer.bytes.len();
                        return self.buffer.take(stream, length).map(Some);
                    }
                }
                None if self.buffer.bytes.is_empty() => return Ok(None),
                None => {
                    let length = self.buffer.bytes.len();
                    return self.buffer.take(OutputStream::Stdout, length).map(Some);
                }
            }
        }
    }
}

/// What has come of the next entry, and with a terminal of those behind it.
struct Buffer {
    tty: bool,
    bytes: Vec<u8>,
}

impl Buffer {
    fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > ENTRY_BYTES_MAX {
            return Err(Failure::unreachable("docker sent a piece of output that has no end"));
        }
        Ok(())
    }

    /// The first entry of a terminal's output, if the end of it is there.
    fn unframed(&mut self) -> Result<Option<Entry>, Failure> {
        if !self.tty {
            return Ok(None);
        }
        let Some((stamp, rest)) = split(&self.bytes) else {
            return if self.bytes.len() < STAMP_BYTES_MAX { Ok(None) } else { Err(no_time(&self.bytes)) };
        };
        let newline = rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let line = &rest[..newline.unwrap_or(rest.len())];
        let length = line.windows(stamp.len()).position(|window| window == stamp).or(newline);
        let Some(length) = length.map(|length| stamp.len() + length) else { return Ok(None) };
        self.take(OutputStream::Stdout, length).map(Some)
    }

    fn take(&mut self, stream: OutputStream, length: usize) -> Result<Entry, Failure> {
        let rest = self.bytes.split_off(length);
        let entry = std::mem::replace(&mut self.bytes, rest);
        let (stamp, bytes) = split(&entry).ok_or_else(|| no_time(&entry))?;
        let time = time(stamp).ok_or_else(|| no_time(&entry))?;
        Ok(Entry { stream, time, bytes: bytes.to_vec() })
    }
}

/// The time with the space behind it, and the rest.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(STAMP_BYTES_MAX).position(|byte| *byte == b' ')?;
    bytes.split_at_checked(space + 1)
}

fn time(stamp: &[u8]) -> Option<u64> {
    let time: Timestamp = std::str::from_utf8(stamp).ok()?.trim_end().parse().ok()?;
    Some(u64::try_from(time.as_nanosecond()).unwrap_or(0))
}

/// The daemon's own words in a terminal's output, for instance.
fn no_time(bytes: &[u8]) -> Failure {
    let words = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    Failure::unreachable(format!("docker sent output without its time: {words:?}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAMP: &str = "2026-11-23T10:00:00.123456789Z ";
    const TIME: u64 = 1_795_428_000_123_456_789;

    fn unframed(chunks: &[&[u8]]) -> Vec<(u64, String)> {
        let mut buffer = Buffer { tty: true, bytes: Vec::new() };
        let mut entries = Vec::new();
        let mut keep = |entry: Entry| entries.push((entry.time, String::from_utf8(entry.bytes).unwrap()));
        for chunk in chunks {
            buffer.add(chunk).unwrap();
            while let Some(entry) = buffer.unframed().unwrap() {
                keep(entry);
            }
        }
        if !buffer.bytes.is_empty() {
            let length = buffer.bytes.len();
            keep(buffer.take(OutputStream::Stdout, length).unwrap());
        }
        entries
    }

    #[test]
    fn the_entries_of_a_terminal_end_at_newlines_and_where_their_time_stands_again() {
        let later = "2026-11-23T10:00:01.000000000Z ";
        let text = format!("{STAMP}one\r\n{STAMP}10 %\r20 %{STAMP}\r30 %\n{later}{STAMP}printed\n{later}rest");
        let time_later = TIME - 123_456_789 + 1_000_000_000;
        assert_eq!(
            unframed(&[text.as_bytes()]),
            [
                (TIME, "one\r\n".to_owned()),
                (TIME, "10 %\r20 %".to_owned()),
                (TIME, "\r30 %\n".to_owned()),
                (time_later, format!("{STAMP}printed\n")),
                (time_later, "rest".to_owned()),
            ]
        );
    }

    #[test]
    fn what_has_no_time_is_refused() {
        let mut buffer = Buffer { tty: true, bytes: Vec::new() };
        buffer.add(b"Error grabbing logs: the log is damaged and cannot be read\n").unwrap();
        assert!(buffer.unframed().unwrap_err().message.contains("Error grabbing logs"));
        let mut buffer = Buffer { tty: false, bytes: b"nothing".to_vec() };
        assert!(buffer.take(OutputStream::Stderr, 7).is_err());
    }

    #[test]
    fn an_entry_without_end_is_not_kept() {
        let mut buffer = Buffer { tty: true, bytes: Vec::new() };
        let added = (0..100).try_for_each(|_| buffer.add(&[b'x'; 64 * 1024]));
        assert!(added.is_err());
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(cuts in proptest::collection::vec(0usize..140, 0..6)) {
            let text = format!("{STAMP}one\r\n{STAMP}10 %\r20 %{STAMP}\r30 %\n{STAMP}\n{STAMP}rest");
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut from = 0;
            let mut chunks = Vec::new();
            for cut in cuts.into_iter().chain([text.len()]) {
                chunks.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(unframed(&chunks), unframed(&[text.as_bytes()]));
        }
    }
}
