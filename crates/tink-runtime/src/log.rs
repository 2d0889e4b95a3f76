//! Where a container's output goes.

use std::fmt;
use std::str::FromStr;

/// Which of the two streams a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// Takes a container's output, line by line.
///
/// A line ends at a newline or at a carriage return (progress bars write those) and is at most 64 KiB; what is longer
/// arrives in pieces. The terminator is not part of the line; bytes need not be UTF-8. A sink must not block for long:
/// the engine reads on only when it returns.
pub trait LogSink: Send {
    /// One line of output, and the place behind it: a later reader who starts there gets everything but this line and
    /// those before it.
    fn line(&mut self, stream: OutputStream, line: &[u8], end: LogPosition);

    /// A line that is not delivered again was read on the way to those that are: a sign of life, where that may take long.
    fn skipped(&mut self) {}
}

/// Lines that are delivered in one go. A program may print faster than they are taken, for ever, and whoever listens has to
/// hear of its end, or of its timeout, all the same.
pub(crate) const LINES_AT_ONCE: u64 = 64;

/// A place between two lines of a container's output.
///
/// What its numbers mean is the engine's own affair; they stay right when the engine's log loses its oldest lines, which
/// a count of lines would not. In text it has digits and full stops alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition(pub(crate) [u64; 3]);

impl LogPosition {
    /// Before the first line.
    pub const START: Self = Self([0; 3]);

    /// A place that one number says.
    #[must_use]
    pub const fn at(number: u64) -> Self {
        Self([number, 0, 0])
    }

    /// The number of a place that one number says.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0[0]
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.0;
        if (second, third) == (0, 0) { write!(f, "{first}") } else { write!(f, "{first}.{second}.{third}") }
    }
}

/// A text is no place of a log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no position in a log")]
pub struct NoLogPosition(String);

impl FromStr for LogPosition {
    type Err = NoLogPosition;

    fn from_str(text: &str) -> Result<Self, NoLogPosition> {
        let no = || NoLogPosition(text.to_owned());
        let numbers =
            text.split('.').map(|number| number.parse().map_err(|_| no())).collect::<Result<Vec<u64>, _>>()?;
        match *numbers.as_slice() {
            [number] => Ok(Self::at(number)),
            [first, second, third] => Ok(Self([first, second, third])),
            _ => Err(no()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_from_its_text() {
        for position in [LogPosition::START, LogPosition::at(7), LogPosition([1_795_000_000_123_456_789, 3, u64::MAX])]
        {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for text in ["", "x", "1.2", "1.2.3.4", "-1", "1. 2.3"] {
            assert!(text.parse::<LogPosition>().is_err(), "{text}");
        }
    }
}
