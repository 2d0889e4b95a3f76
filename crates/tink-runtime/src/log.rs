//! Where a container's output goes.

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
    /// One line of output.
    fn line(&mut self, stream: OutputStream, line: &[u8]);

    /// A line that is not delivered again was read on the way to those that are: a sign of life, where that may take long.
    fn skipped(&mut self) {}
}
