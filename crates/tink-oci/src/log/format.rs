//! One line of a segment.

use std::io::Write;

use jiff::Timestamp;

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What ended a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// A newline. A carriage return right before it belongs to the line's bytes.
    Newline,
    /// A carriage return with no newline behind it: a progress display, soon overwritten.
    CarriageReturn,
    /// Nothing: the line was longer than 64 KiB and goes on in the next one, or the stream ended.
    Cut,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogItem {
    /// A line of output.
    Line(LogLine),
    /// Bytes of the log that newer ones had pushed out before this reader came.
    Lost {
        /// How many, in the log's own format.
        bytes: u64,
    },
    /// Output that was never written, because the disk was full or failed.
    Dropped {
        /// How many lines.
        lines: u64,
        /// How many bytes of output.
        bytes: u64,
    },
}

/// A line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the container, by the wall clock.
    pub time: Timestamp,
    /// Where it was printed.
    pub stream: Stream,
    /// What ended it.
    pub end: LineEnd,
    /// Its bytes, without what ended it; seldom, but possibly, not UTF-8.
    pub bytes: Vec<u8>,
}

/// Bytes before the output's own in a line: the time in microseconds, the stream, the end, a space after each.
const PREFIX_BYTES: usize = "2026-11-23T10:00:00.123456Z o F ".len();

/// Appends a line to `out`; `time` is [`stamp`]ed text.
pub(super) fn encode(out: &mut Vec<u8>, time: &str, stream: Stream, end: LineEnd, bytes: &[u8]) {
    let stream = match stream {
        Stream::Stdout => b'o',
        Stream::Stderr => b'e',
    };
    let end = match end {
        LineEnd::Newline => b'F',
        LineEnd::CarriageReturn => b'R',
        LineEnd::Cut => b'P',
    };
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(&[b' ', stream, b' ', end, b' ']);
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

/// How many lines of output there are in whole lines of the log, and how many bytes of output in these.
pub(super) fn content(lines: &[u8]) -> (u64, u64) {
    let count = lines.iter().filter(|byte| **byte == b'\n').count();
    (count as u64, lines.len().saturating_sub(count * (PREFIX_BYTES + 1)) as u64)
}

/// Appends the note that output was dropped.
pub(super) fn encode_dropped(out: &mut Vec<u8>, time: &str, lines: u64, bytes: u64) {
    // Writing to a vector does not fail.
    let _ = writeln!(out, "{time} d F {lines} lines {bytes} bytes");
}

/// The time as lines carry it: always 27 bytes.
pub(super) fn stamp(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Reads a line without its newline; nothing if it is not one of ours.
pub(super) fn decode(line: &[u8]) -> Option<LogItem> {
    let (prefix, bytes) = line.split_at_checked(PREFIX_BYTES)?;
    let mut words = std::str::from_utf8(prefix).ok()?.split(' ');
    let time: Timestamp = words.next()?.parse().ok()?;
    let stream = match words.next()? {
        "o" => Stream::Stdout,
        "e" => Stream::Stderr,
        "d" => {
            let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
            let (lines, bytes) = (words.next()?.parse().ok()?, words.nth(1)?.parse().ok()?);
            return Some(LogItem::Dropped { lines, bytes });
        }
        _ => return None,
    };
    let end = match words.next()? {
        "F" => LineEnd::Newline,
        "R" => LineEnd::CarriageReturn,
        "P" => LineEnd::Cut,
        _ => return None,
    };
    Some(LogItem::Line(LogLine { time, stream, end, bytes: bytes.to_vec() }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time() -> Timestamp {
        "2026-11-23T10:00:00.123456Z".parse().unwrap()
    }

    #[test]
    fn the_prefix_is_as_long_as_the_reader_takes_it_to_be() {
        for time in [time(), Timestamp::UNIX_EPOCH] {
            let mut out = Vec::new();
            encode(&mut out, &stamp(time), Stream::Stdout, LineEnd::Newline, b"");
            assert_eq!(out.len(), PREFIX_BYTES + 1, "{}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn a_drop_is_read_back() {
        let mut out = Vec::new();
        encode_dropped(&mut out, &stamp(time()), 3, 999);
        assert_eq!(decode(out.strip_suffix(b"\n").unwrap()), Some(LogItem::Dropped { lines: 3, bytes: 999 }));
    }

    proptest! {
        #[test]
        fn a_line_is_read_back_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..200), end in 0..3_usize) {
            let end = [LineEnd::Newline, LineEnd::CarriageReturn, LineEnd::Cut][end];
            let mut out = Vec::new();
            encode(&mut out, &stamp(time()), Stream::Stderr, end, &bytes);
            let expected = LogItem::Line(LogLine { time: time(), stream: Stream::Stderr, end, bytes });
            prop_assert_eq!(decode(&out[..out.len() - 1]), Some(expected));
        }

        #[test]
        fn no_line_makes_the_reader_panic(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&line);
        }
    }
}
