//! Delivering a container's output from its log on disk.

use tink_oci::{LineEnd, LogItem, LogLine, LogReader, Stream};

use super::{EmbeddedRuntime, chain};
use crate::log::LINES_AT_ONCE;
use crate::{HandleRecord, LogPosition, LogSink, Operation, OutputStream, RuntimeError};

impl EmbeddedRuntime {
    /// A position is that of the log itself: bytes from its start, pushed out ones included.
    pub(super) async fn deliver_logs(
        &self,
        record: &HandleRecord,
        from: LogPosition,
        sink: &mut dyn LogSink,
    ) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        let dir = self.recorded_dir(record, Operation::Logs)?;
        if !dir.exists() {
            return Err(RuntimeError::permanent(Operation::Logs, container, "it is gone, and its output with it"));
        }
        let mut reader = LogReader::open_at(&dir, from.number());
        let (mut lines, mut lost, mut told) = (0_u64, 0_u64, 0_u64);
        while let Some(item) =
            reader.follow().await.map_err(|error| RuntimeError::transient(Operation::Logs, container, chain(&error)))?
        {
            match item {
                LogItem::Line(line) if is_nothing(&line) => {}
                LogItem::Line(line) => deliver(&line, LogPosition::at(reader.position()), sink),
                LogItem::Lost { bytes } => {
                    lost += bytes;
                    // Again and again while an action prints faster than anybody reads: told when it begins, and in the end.
                    if told == 0 {
                        told = lost;
                        tracing::warn!(container, bytes, "newer output has pushed this much out of the log so far");
                    }
                }
                LogItem::Dropped { lines, bytes } => {
                    tracing::warn!(container, lines, bytes, "output was lost, since the disk is full or failed");
                }
            }
            lines += 1;
            if lines.is_multiple_of(LINES_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        if lost > told {
            tracing::warn!(container, bytes = lost, "newer output has pushed this much out of the log in all");
        }
        Ok(())
    }
}

/// A carriage return with nothing before it ends no line: progress bars begin with one.
fn is_nothing(line: &LogLine) -> bool {
    line.end == LineEnd::CarriageReturn && line.bytes.is_empty()
}

fn deliver(line: &LogLine, end: LogPosition, sink: &mut dyn LogSink) {
    let stream = match line.stream {
        Stream::Stdout => OutputStream::Stdout,
        Stream::Stderr => OutputStream::Stderr,
    };
    // A carriage return before a newline is part of the terminator here.
    let bytes = match line.end {
        LineEnd::Newline => line.bytes.strip_suffix(b"\r").unwrap_or(&line.bytes),
        LineEnd::CarriageReturn | LineEnd::Cut => &line.bytes,
    };
    sink.line(stream, bytes, end);
}
