//! What a report says, and the last lines of output it carries.

use std::collections::VecDeque;

use tink_runtime::ExitStatus;

/// Lines of output in a report.
const LINES_MAX: usize = 20;
/// Bytes of output in a report.
const BYTES_MAX: usize = 4096;
/// Bytes of output in the report of a success.
const SUCCESS_BYTES_MAX: usize = 256;

/// The last lines of an action's output, fit to be shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    /// Adds a line that [`printable`] made; empty ones are left out.
    pub(crate) fn push(&mut self, line: &str) {
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        let line = &line[line.len() - line.ceil_to(BYTES_MAX)..];
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX + 1 {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len() + 1;
        }
    }

    fn last(&self) -> Option<&str> {
        self.lines.back().map(String::as_str)
    }

    fn joined(&self) -> String {
        let mut lines = self.lines.iter().map(String::as_str);
        let mut all = lines.next().unwrap_or_default().to_owned();
        for line in lines {
            all.push('\n');
            all.push_str(line);
        }
        all
    }
}

trait SuffixLength {
    fn ceil_to(&self, bytes_max: usize) -> usize;
}

impl SuffixLength for str {
    /// Length of the longest suffix of at most so many bytes that begins at a character.
    fn ceil_to(&self, bytes_max: usize) -> usize {
        let start = self.len().saturating_sub(bytes_max);
        self.len() - self.ceil_char_boundary(start)
    }
}

/// A line of output as text: control characters and terminal sequences are left out, what is not UTF-8 is replaced.
pub(crate) fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut chars),
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Skips what follows ESC: a CSI or OSC sequence, or one character.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
        Some(']') => while chars.next().is_some_and(|c| c != '\u{7}' && c != '\u{1b}') {},
        _ => {}
    }
}

/// What is said of a container that ended by itself.
pub(crate) fn ended(status: &ExitStatus, tail: &Tail) -> String {
    if status.success() {
        // One line: a success is read only to see what it did.
        return match tail.last() {
            Some(line) => format!("{status}; last output: {}", &line[..line.floor_char_boundary(SUCCESS_BYTES_MAX)]),
            None => status.to_string(),
        };
    }
    with_output(status.to_string(), tail)
}

/// What is said of a container that was stopped because its time was used up.
pub(crate) fn timed_out(limit_s: u64, status: Option<&ExitStatus>, tail: &Tail) -> String {
    let how = match status {
        Some(status) => format!("stopped after its timeout of {limit_s} s, {status}"),
        None => format!("stopped after its timeout of {limit_s} s; the engine does not say how it ended"),
    };
    with_output(how, tail)
}

/// Appends the last lines of output, if there are any.
pub(crate) fn with_output(text: String, tail: &Tail) -> String {
    match tail.lines.len() {
        0 => text,
        1 => format!("{text}; last output: {}", tail.joined()),
        _ => format!("{text}; last output:\n{}", tail.joined()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tink_runtime::ExitCause;

    fn status(cause: ExitCause, oom: bool) -> ExitStatus {
        ExitStatus { cause, oom, started_at: None, stopped_at: None }
    }

    fn tail(lines: &[&str]) -> Tail {
        let mut tail = Tail::default();
        lines.iter().for_each(|line| tail.push(line));
        tail
    }

    #[test]
    fn messages_say_what_happened() {
        let failed = status(ExitCause::Code(3), false);
        assert_eq!(ended(&failed, &tail(&["no disk"])), "exit code 3; last output: no disk");
        assert_eq!(ended(&failed, &tail(&["a", "", "b"])), "exit code 3; last output:\na\nb");
        assert_eq!(ended(&failed, &tail(&[])), "exit code 3");
        let killed = status(ExitCause::Signal(9), true);
        assert_eq!(ended(&killed, &tail(&[])), "killed by signal 9 (SIGKILL) (out of memory)");
        let done = status(ExitCause::Code(0), false);
        assert_eq!(ended(&done, &tail(&["a", "written 4 GiB"])), "exit code 0; last output: written 4 GiB");
        assert_eq!(
            timed_out(90, Some(&killed), &tail(&["x"])),
            "stopped after its timeout of 90 s, killed by signal 9 (SIGKILL) (out of memory); last output: x"
        );
    }

    #[test]
    fn control_characters_and_terminal_sequences_are_left_out() {
        assert_eq!(printable(b"\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07a\tb\x00\xff"), "red a\tb\u{fffd}");
        assert_eq!(printable("grün\u{9b}".as_bytes()), "grün");
        assert_eq!(printable(b"\x1b"), "");
        assert_eq!(printable(b"\x1b[12;"), "");
    }

    #[test]
    fn the_tail_is_bounded_and_keeps_the_newest() {
        let mut tail = Tail::default();
        for nth in 0..1000 {
            tail.push(&format!("line {nth}"));
        }
        let joined = tail.joined();
        assert_eq!(joined.lines().count(), LINES_MAX);
        assert!(joined.ends_with("line 999"));
        tail.push(&"é".repeat(5000));
        assert!(tail.joined().len() <= BYTES_MAX && tail.joined().ends_with('é'));
    }
}
