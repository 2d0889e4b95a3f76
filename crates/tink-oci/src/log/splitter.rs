//! Cuts a stream of bytes into lines, with bounded memory whatever comes.

use super::LINE_BYTES_MAX;
use super::format::LineEnd;

/// The state between two reads of one stream.
///
/// Nothing is lost or added: each line's bytes followed by what its end stands for give the stream back.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The line so far, shorter than [`LINE_BYTES_MAX`]; its last byte may be a carriage return waiting for its newline.
    pending: Vec<u8>,
}

impl Splitter {
    /// Takes what was read and hands out every line that is complete.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], mut emit: impl FnMut(&[u8], LineEnd)) {
        while let Some(&first) = chunk.first() {
            if self.pending.last() == Some(&b'\r') && first != b'\n' {
                self.pending.pop();
                emit(&self.pending, LineEnd::CarriageReturn);
                self.pending.clear();
            }
            let room = LINE_BYTES_MAX - self.pending.len();
            let window = chunk.get(..room).unwrap_or(chunk);
            let Some(stop) = window.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                chunk = chunk.get(window.len()..).unwrap_or_default();
                if window.len() == room {
                    self.emit_with(window, LineEnd::Cut, &mut emit);
                } else {
                    self.pending.extend_from_slice(window);
                }
                continue;
            };
            let line = window.get(..stop).unwrap_or_default();
            if window.get(stop) == Some(&b'\n') {
                self.emit_with(line, LineEnd::Newline, &mut emit);
                chunk = chunk.get(stop + 1..).unwrap_or_default();
            } else if stop + 1 == room {
                // A carriage return in the last place: it cannot wait for a newline without outgrowing the bound.
                self.emit_with(line, LineEnd::CarriageReturn, &mut emit);
                chunk = chunk.get(stop + 1..).unwrap_or_default();
            } else {
                self.pending.extend_from_slice(window.get(..=stop).unwrap_or_default());
                chunk = chunk.get(stop + 1..).unwrap_or_default();
            }
        }
    }

    /// Hands out what is left when the stream has ended.
    pub(crate) fn finish(&mut self, mut emit: impl FnMut(&[u8], LineEnd)) {
        if self.pending.last() == Some(&b'\r') {
            self.pending.pop();
            emit(&self.pending, LineEnd::CarriageReturn);
        } else if !self.pending.is_empty() {
            emit(&self.pending, LineEnd::Cut);
        }
        self.pending.clear();
    }

    fn emit_with(&mut self, rest: &[u8], end: LineEnd, emit: &mut impl FnMut(&[u8], LineEnd)) {
        if self.pending.is_empty() {
            emit(rest, end);
        } else {
            self.pending.extend_from_slice(rest);
            emit(&self.pending, end);
            self.pending.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(Vec<u8>, LineEnd)> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk, |line, end| lines.push((line.to_vec(), end)));
        }
        splitter.finish(|line, end| lines.push((line.to_vec(), end)));
        lines
    }

    #[test]
    fn newlines_and_lone_carriage_returns_end_lines() {
        let lines = split(&[b"a\nb\r", b"\n10%\r20%\r\rdone"]);
        let expected: [(&[u8], LineEnd); 6] = [
            (b"a", LineEnd::Newline),
            (b"b\r", LineEnd::Newline),
            (b"10%", LineEnd::CarriageReturn),
            (b"20%", LineEnd::CarriageReturn),
            (b"", LineEnd::CarriageReturn),
            (b"done", LineEnd::Cut),
        ];
        assert_eq!(lines, expected.map(|(line, end)| (line.to_vec(), end)));
    }

    #[test]
    fn a_line_that_never_ends_is_cut_at_64_kib() {
        let endless = vec![b'x'; 3 * LINE_BYTES_MAX + 5];
        let lines = split(&[&endless]);
        assert_eq!(
            lines.iter().map(|(line, _)| line.len()).collect::<Vec<_>>(),
            [LINE_BYTES_MAX, LINE_BYTES_MAX, LINE_BYTES_MAX, 5]
        );
    }

    proptest! {
        #[test]
        fn the_lines_give_the_stream_back(
            pieces in proptest::collection::vec(prop_oneof![
                Just(b"\r".to_vec()), Just(b"\n".to_vec()), Just(b"\r\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..20),
                (LINE_BYTES_MAX - 2..LINE_BYTES_MAX + 2).prop_map(|n| vec![b'x'; n]),
            ], 0..12),
        ) {
            let chunks: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let mut back = Vec::new();
            for (line, end) in split(&chunks) {
                prop_assert!(line.len() <= LINE_BYTES_MAX);
                back.extend(line);
                match end {
                    LineEnd::Newline => back.push(b'\n'),
                    LineEnd::CarriageReturn => back.push(b'\r'),
                    LineEnd::Cut => {}
                }
            }
            prop_assert_eq!(back, pieces.concat());
        }
    }
}
