//! Delivering a container's output from its log on disk.

use tink_oci::{LineEnd, LogItem, LogLine, LogReader, Stream};

use super::{EmbeddedRuntime, chain};
use crate::{HandleRecord, LogSink, Operation, OutputStream, RuntimeError};

impl EmbeddedRuntime {
    /// Limit: where the newest output has pushed older lines out of the log, lines to skip cannot be counted any more;
    /// then what is left is delivered from its first line, so that nothing more is lost.
    pub(super) async fn deliver_logs(
        &self,
        record: &HandleRecord,
        skip: u64,
        sink: &mut dyn LogSink,
    ) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        let dir = self.recorded_dir(record, Operation::Logs)?;
        if !dir.exists() {
            return Err(RuntimeError::permanent(Operation::Logs, container, "it is gone, and its output with it"));
        }
        let mut reader = LogReader::open(&dir);
        let mut to_skip = skip;
        while let Some(item) =
            reader.follow().await.map_err(|error| RuntimeError::transient(Operation::Logs, container, chain(&error)))?
        {
            match item {
                LogItem::Line(line) if is_nothing(&line) => {}
                LogItem::Line(_) if to_skip > 0 => to_skip -= 1,
                LogItem::Line(line) => deliver(&line, sink),
                LogItem::Lost { bytes } => {
                    tracing::warn!(container, bytes, "newer output has pushed this much out of the log");
                    to_skip = 0;
                }
                LogItem::Dropped { lines, bytes } => {
                    tracing::warn!(container, lines, bytes, "output was lost, since the disk is full or failed");
                }
            }
        }
        Ok(())
    }
}

/// A carriage return with nothing before it ends no line: progress bars begin with one.
fn is_nothing(line: &LogLine) -> bool {
    line.end == LineEnd::CarriageReturn && line.bytes.is_empty()
}

fn deliver(line: &LogLine, sink: &mut dyn LogSink) {
    let stream = match line.stream {
        Stream::Stdout => OutputStream::Stdout,
        Stream::Stderr => OutputStream::Stderr,
    };
    // A carriage return before a newline is part of the terminator here.
    let bytes = match line.end {
        LineEnd::Newline => line.bytes.strip_suffix(b"\r").unwrap_or(&line.bytes),
        LineEnd::CarriageReturn | LineEnd::Cut => &line.bytes,
    };
    sink.line(stream, bytes);
}
