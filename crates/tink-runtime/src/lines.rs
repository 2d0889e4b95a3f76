//! Output becomes lines.

/// The longest line that is delivered whole; what is longer arrives in pieces of this many bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Cuts the bytes of one stream into lines, as [`LogSink`](crate::LogSink) describes them.
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
