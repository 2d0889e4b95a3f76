//! A container's output on disk: bounded, cut into lines, readable with `cat`, resumable at any line.
//!
//! The directory `log` of a container holds at most four segments, each named by the position of its first byte in the
//! whole log (`00000000000000000000.log`); the oldest goes when a fifth would come. A line of a segment is
//!
//! ```text
//! 2026-11-23T10:00:00.123456Z o F what the program printed
//! ```
//!
//! time, stream (`o`ut, `e`rr, or `d`: dropped for want of disk space, with the numbers), how the line ended (`F`ull: a
//! newline, `R`: a lone carriage return, `P`art: it goes on in the next, or the stream ended), and the bytes themselves.
//! A *position* counts bytes of this format from the start of the log; a reader that keeps its position resumes
//! without a gap or a repeat, and learns how much is gone if it comes back too late.

mod follow;
mod format;
mod reader;
mod segments;
mod splitter;
mod writer;

pub use format::{LineEnd, LogItem, LogLine, Stream};
pub use reader::{LogError, LogReader};
pub(crate) use splitter::Splitter;
pub(crate) use writer::LogWriter;

/// The log's directory in a container's state directory.
pub(crate) const LOG_DIR: &str = "log";

/// Bytes of output in one line of the log at most; longer lines are split.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;
