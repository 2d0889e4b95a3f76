//! Delivering entries of a container's log as lines, each once.
//!
//! An entry is known by its stream, its time and its number among the entries of that stream and time that follow each
//! other; a place in the output is an entry and a number of lines in it. Neither changes when the log loses its oldest
//! entries, and no order of the times is counted on: an action may set the clock.

use super::entry::Entry;
use crate::lines::LineSplitter;
use crate::{LogPosition, LogSink, OutputStream};

/// Which entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryId {
    pub(super) stream: OutputStream,
    pub(super) time: u64,
    /// From 1.
    pub(super) number: u64,
}

/// In a position: so many lines are more than an entry has. Beyond it the unterminated ends of the streams are counted.
const ALL_LINES: u64 = 1 << 32;

impl EntryId {
    /// The place behind this many lines of the entry.
    fn position(self, lines: u64) -> LogPosition {
        let side = index(self.stream) as u64;
        LogPosition([self.time, self.number * 2 + side, lines])
    }

    /// The entry and the lines of a place; nothing for the output's start.
    fn of(position: LogPosition) -> Option<(Self, u64)> {
        let LogPosition([time, number, lines]) = position;
        let stream = if number.is_multiple_of(2) { OutputStream::Stdout } else { OutputStream::Stderr };
        (position != LogPosition::START).then_some((Self { stream, time, number: number / 2 }, lines))
    }

    /// Whether an entry is of the same line, or was written by the same stream in the same moment.
    pub(super) fn is_beside(&self, entry: &Entry) -> bool {
        (self.stream, self.time) == (entry.stream, entry.time)
    }
}

const fn index(stream: OutputStream) -> usize {
    match stream {
        OutputStream::Stdout => 0,
        OutputStream::Stderr => 1,
    }
}

#[derive(Default)]
struct Side {
    splitter: LineSplitter,
    /// Time and number of its last entry.
    last: Option<(u64, u64)>,
}

/// What was delivered, and to whom.
pub(super) struct Delivery<'a> {
    sink: &'a mut dyn LogSink,
    sides: [Side; 2],
    /// The last entry that was taken.
    last: Option<EntryId>,
    /// Where an earlier reader stopped; until this entry has come, nothing is new.
    resume: Option<(EntryId, u64)>,
    /// Unterminated ends that an earlier reader has delivered.
    ends_to_skip: u64,
    /// After a gap: of this line an unknown part was delivered before, so the rest of it is not.
    torn: Option<EntryId>,
    delivered: u64,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(sink: &'a mut dyn LogSink, from: LogPosition) -> Self {
        let resume = EntryId::of(from);
        Self { sink, sides: Default::default(), last: None, resume, ends_to_skip: 0, torn: None, delivered: 0 }
    }

    /// The last entry that was taken; the log is to be read on behind it, or from its start where there is none.
    pub(super) fn last(&self) -> Option<EntryId> {
        self.last
    }

    /// Whether the place where an earlier reader stopped is still to come.
    pub(super) fn is_searching(&self) -> bool {
        self.resume.is_some()
    }

    /// Lines that the sink was given.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The next entry.
    pub(super) fn push(&mut self, entry: &Entry) {
        let side = &mut self.sides[index(entry.stream)];
        let number = match side.last {
            Some((time, number)) if time == entry.time => number + 1,
            _ => 1,
        };
        side.last = Some((entry.time, number));
        let id = EntryId { stream: entry.stream, time: entry.time, number };
        self.last = Some(id);
        if self.torn.is_some_and(|torn| torn.is_beside(entry)) {
            return;
        }
        let skip = match self.resume {
            None => 0,
            Some((stopped_in, lines)) if stopped_in == id => {
                self.resume = None;
                self.ends_to_skip = lines.saturating_sub(ALL_LINES);
                lines
            }
            Some(_) => u64::MAX,
        };
        let (sink, delivered, mut lines) = (&mut *self.sink, &mut self.delivered, 0);
        side.splitter.push(&entry.bytes, &mut |line| {
            lines += 1;
            if lines > skip {
                sink.line(entry.stream, line, id.position(lines));
                *delivered += 1;
            } else {
                sink.skipped();
            }
        });
    }

    /// Bytes that are read only once, and have no place in a log.
    pub(super) fn push_unlogged(&mut self, stream: OutputStream, bytes: &[u8]) {
        let (sink, delivered) = (&mut *self.sink, &mut self.delivered);
        self.sides[index(stream)].splitter.push(bytes, &mut |line| {
            sink.line(stream, line, LogPosition::START);
            *delivered += 1;
        });
    }

    /// The log does not have the place any more at which it was to be read on: all that it has is newer.
    pub(super) fn gap(&mut self) {
        let torn = self.resume.map(|(entry, _)| entry).or(self.last);
        if self.resume.is_none() {
            self.finish();
        }
        (self.sides, self.last, self.resume, self.torn) = (Default::default(), None, None, torn);
    }

    /// The output has ended: what is left of both streams comes, in this order whoever reads.
    pub(super) fn finish(&mut self) {
        let mut ends = 0;
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            let (sink, delivered) = (&mut *self.sink, &mut self.delivered);
            let (skip, last) = (self.ends_to_skip, self.last);
            self.sides[index(stream)].splitter.finish(&mut |line| {
                ends += 1;
                if ends > skip {
                    let end = last.map_or(LogPosition::START, |last| last.position(ALL_LINES + ends));
                    sink.line(stream, line, end);
                    *delivered += 1;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<(String, LogPosition)>);

    impl LogSink for Seen {
        fn line(&mut self, _: OutputStream, line: &[u8], end: LogPosition) {
            self.0.push((String::from_utf8_lossy(line).into_owned(), end));
        }
    }

    impl Seen {
        fn texts(&self) -> Vec<&str> {
            self.0.iter().map(|(text, _)| text.as_str()).collect()
        }
    }

    fn entry(stream: OutputStream, time: u64, text: &str) -> Entry {
        Entry { stream, time, bytes: text.as_bytes().to_vec() }
    }

    use OutputStream::{Stderr, Stdout};

    /// A long line of each stream in pieces between each other's, equal times, a clock that was set back, unterminated ends.
    fn log() -> Vec<Entry> {
        vec![
            entry(Stdout, 50, "one\n"),
            entry(Stdout, 60, "10 %\r20"),
            entry(Stderr, 60, "long "),
            entry(Stdout, 60, " %\r30 %\r"),
            entry(Stdout, 60, "40 %\n"),
            entry(Stderr, 60, "error\n"),
            entry(Stdout, 60, "\n"),
            entry(Stdout, 7, "two\n"),
            entry(Stdout, 7, "two\n"),
            entry(Stderr, 9, "err rest"),
            entry(Stdout, 8, "out rest"),
        ]
    }

    fn read(from: LogPosition, entries: &[Entry]) -> Seen {
        let mut seen = Seen::default();
        let mut delivery = Delivery::new(&mut seen, from);
        entries.iter().for_each(|entry| delivery.push(entry));
        if delivery.is_searching() {
            delivery.gap();
            entries.iter().for_each(|entry| delivery.push(entry));
        }
        delivery.finish();
        seen
    }

    #[test]
    fn a_reader_goes_on_behind_any_line_of_an_earlier_one() {
        let all = read(LogPosition::START, &log());
        let texts = all.texts();
        assert_eq!(
            texts,
            ["one", "10 %", "20 %", "30 %", "40 %", "long error", "", "two", "two", "out rest", "err rest"]
        );
        for (nth, (_, end)) in all.0.iter().enumerate() {
            assert_eq!(read(*end, &log()).texts(), texts[nth + 1..], "behind line {nth}, {end}");
        }
    }

    #[test]
    fn a_log_that_lost_its_oldest_entries_is_read_on_in_the_same_place() {
        let all = read(LogPosition::START, &log());
        for (nth, (_, end)) in all.0.iter().enumerate().skip(7) {
            assert_eq!(read(*end, &log()[6..]).texts(), all.texts()[nth + 1..], "behind line {nth}, {end}");
        }
    }

    #[test]
    fn where_the_place_is_lost_all_that_is_left_is_new() {
        let all = read(LogPosition::START, &log());
        assert_eq!(read(all.0[0].1, &log()[7..]).texts(), ["two", "two", "out rest", "err rest"]);
    }

    #[test]
    fn a_line_that_lost_its_beginning_is_left_out() {
        let all = read(LogPosition::START, &log());
        // Behind "30 %": of what is left of that moment nobody can say whether it was delivered.
        assert_eq!(read(all.0[3].1, &log()[5..]).texts(), ["error", "two", "two", "out rest", "err rest"]);
    }
}
