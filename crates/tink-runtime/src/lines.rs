//! Output becomes lines.

use crate::{LogSink, OutputStream};

/// The longest line that is delivered whole; what is longer arrives in pieces of this many bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Cuts the bytes of one stream into lines, as [`LogSink`] describes them.
///
/// How the bytes are chunked makes no difference to the lines, so a line's number means the same each time the output
/// is read again. `\r\n` is one terminator; a carriage return with nothing before it (progress bars begin with one)
/// ends no line.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    partial: Vec<u8>,
    /// The last byte was a carriage return that ended a line: a newline right after it belongs to it.
    after_return: bool,
}

impl LineSplitter {
    /// Takes the next bytes and hands each line they complete to `line`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        while let Some(first) = bytes.first() {
            // A full line is known to be too long only when something else than its end follows.
            if self.partial.len() == LINE_BYTES_MAX && !is_end(first) {
                line(&self.partial);
                self.partial.clear();
            }
            let room = LINE_BYTES_MAX - self.partial.len();
            match bytes[..bytes.len().min(room + 1)].iter().position(is_end) {
                Some(end) => {
                    self.terminated(&bytes[..end], bytes[end], line);
                    bytes = &bytes[end + 1..];
                }
                None => {
                    let (taken, rest) = bytes.split_at(bytes.len().min(room));
                    self.partial.extend_from_slice(taken);
                    self.after_return = false;
                    bytes = rest;
                }
            }
        }
    }

    fn terminated(&mut self, text: &[u8], terminator: u8, line: &mut dyn FnMut(&[u8])) {
        let empty = text.is_empty() && self.partial.is_empty();
        let ends_nothing = empty && (terminator == b'\r' || self.after_return);
        if !ends_nothing {
            if self.partial.is_empty() {
                line(text);
            } else {
                self.partial.extend_from_slice(text);
                line(&self.partial);
                self.partial.clear();
            }
        }
        // "\r\r\n" is one end of line, too: a terminal makes it of "\r\n".
        self.after_return = terminator == b'\r' && (!empty || self.after_return);
    }

    /// Hands over what is left when the stream has ended without a terminator.
    pub(crate) fn finish(&mut self, line: &mut dyn FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
            self.partial.clear();
        }
        self.after_return = false;
    }
}

/// Both streams of a container's output, cut into numbered lines and delivered from a given number on.
///
/// The output may be read again from its start (the engine restarted in mid-stream): [`Delivery::rewind`], and lines that
/// the sink has seen are not delivered again.
pub(crate) struct Delivery<'a> {
    sink: &'a mut dyn LogSink,
    stdout: LineSplitter,
    stderr: LineSplitter,
    /// The number of the next line to come out of the splitters.
    at: u64,
    /// The number of the next line the sink has not seen.
    next: u64,
}

impl<'a> Delivery<'a> {
    pub(crate) fn new(sink: &'a mut dyn LogSink, skip: u64) -> Self {
        Self { sink, stdout: LineSplitter::default(), stderr: LineSplitter::default(), at: 0, next: skip }
    }

    /// The output is read from its start again.
    pub(crate) fn rewind(&mut self) {
        self.stdout = LineSplitter::default();
        self.stderr = LineSplitter::default();
        self.at = 0;
    }

    /// The output cannot be read again: whatever comes now is new.
    pub(crate) fn only_new_from_here(&mut self) {
        self.finish();
        self.at = self.next;
    }

    /// The number of the next line the sink has not seen; it grows when something is delivered.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    pub(crate) fn push(&mut self, stream: OutputStream, bytes: &[u8]) {
        let splitter = match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        };
        let (sink, at, next) = (&mut *self.sink, &mut self.at, &mut self.next);
        splitter.push(bytes, &mut |line| number(sink, at, next, stream, line));
    }

    /// The output has ended.
    pub(crate) fn finish(&mut self) {
        let (sink, at, next) = (&mut *self.sink, &mut self.at, &mut self.next);
        self.stdout.finish(&mut |line| number(sink, at, next, OutputStream::Stdout, line));
        self.stderr.finish(&mut |line| number(sink, at, next, OutputStream::Stderr, line));
    }
}

fn number(sink: &mut dyn LogSink, at: &mut u64, next: &mut u64, stream: OutputStream, line: &[u8]) {
    if *at >= *next {
        sink.line(stream, line);
        *next = *at + 1;
    } else {
        sink.skipped();
    }
    *at += 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, &mut |line| lines.push(line.to_vec()));
        }
        splitter.finish(&mut |line| lines.push(line.to_vec()));
        lines
    }

    fn texts(chunks: &[&str]) -> Vec<String> {
        let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
        lines(&chunks).into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn newlines_and_carriage_returns_end_lines() {
        assert_eq!(texts(&["one\ntwo\n"]), ["one", "two"]);
        assert_eq!(texts(&["one\r\ntwo\r\n"]), ["one", "two"]);
        assert_eq!(texts(&["one\r", "\ntwo"]), ["one", "two"]);
        assert_eq!(texts(&["\r10 %\r20 %\r", "30 %\ndone"]), ["10 %", "20 %", "30 %", "done"]);
        assert_eq!(texts(&["one\r\r\ntwo"]), ["one", "two"]);
    }

    #[test]
    fn empty_lines_are_kept_and_lone_returns_are_not() {
        assert_eq!(texts(&["a\n\nb\n\n"]), ["a", "", "b", ""]);
        assert_eq!(texts(&["a\r\n\r\nb"]), ["a", "", "b"]);
        assert_eq!(texts(&["\r\r\r"]), Vec::<String>::new());
        assert_eq!(texts(&["", "\n", ""]), [""]);
        assert_eq!(texts(&[""]), Vec::<String>::new());
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces() {
        let long = vec![b'x'; LINE_BYTES_MAX * 2 + 1];
        let sizes: Vec<_> = lines(&[&long, b"\n"]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [LINE_BYTES_MAX, LINE_BYTES_MAX, 1]);
    }

    #[test]
    fn a_line_of_the_greatest_length_is_one_line() {
        let full = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(lines(&[&full, b"\n", b"y\n"]).iter().map(Vec::len).collect::<Vec<_>>(), [LINE_BYTES_MAX, 1]);
        let mut terminated = full.clone();
        terminated.extend_from_slice(b"\r\n");
        assert_eq!(lines(&[&terminated, b"y\n"]).iter().map(Vec::len).collect::<Vec<_>>(), [LINE_BYTES_MAX, 1]);
    }

    #[derive(Default)]
    struct Collected(Vec<(OutputStream, String)>, u64);

    impl LogSink for Collected {
        fn skipped(&mut self) {
            self.1 += 1;
        }

        fn line(&mut self, stream: OutputStream, line: &[u8]) {
            self.0.push((stream, String::from_utf8_lossy(line).into_owned()));
        }
    }

    #[test]
    fn a_rewound_delivery_has_no_gap_and_no_repeat() {
        let mut sink = Collected::default();
        let mut delivery = Delivery::new(&mut sink, 1);
        delivery.push(OutputStream::Stdout, b"zero\none\ntw");
        delivery.rewind();
        delivery.push(OutputStream::Stdout, b"zero\none\ntwo\n");
        delivery.push(OutputStream::Stderr, b"oops");
        delivery.finish();
        let lines: Vec<_> = sink.0.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, ["one", "two", "oops"]);
        assert_eq!(sink.0[2].0, OutputStream::Stderr);
        assert_eq!(sink.1, 3, "lines that are read over are signs of life");
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(text in "[ab\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let whole = lines(&[text.as_bytes()]);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            chunks.push(&text.as_bytes()[from..]);
            prop_assert_eq!(lines(&chunks), whole);
        }
    }
}
