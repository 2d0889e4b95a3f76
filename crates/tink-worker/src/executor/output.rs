//! An action's output on its way to the journal, the worker's own log and whoever watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tink_runtime::{LogPosition, LogSink, OutputStream};
use tracing::info;

use super::message::{Tail, printable};
use crate::Assignment;
use crate::Redactor;
use crate::events::{Events, WorkerEvent};
use crate::journal::LogFile;

/// Bytes of the journal's log that are read back for the last lines of a report.
const TAIL_BYTES: u64 = 64 * 1024;

/// Takes the lines of one container.
pub(super) struct Output {
    assignment: Arc<Assignment>,
    events: Events,
    redactor: Redactor,
    log: LogFile,
    tail: Tail,
    echo: bool,
    read: LinesRead,
}

/// Counts the lines that arrive, also those that were taken before and are only read over; clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct LinesRead(Arc<AtomicU64>);

impl LinesRead {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Output {
    /// Goes on after the lines that an earlier life of the worker took.
    pub(super) fn new(assignment: Arc<Assignment>, events: Events, redactor: Redactor, log: LogFile) -> Self {
        let mut tail = Tail::default();
        for line in log.tail(TAIL_BYTES) {
            tail.push(&printable(&line));
        }
        Self { assignment, events, redactor, log, tail, echo: true, read: LinesRead::default() }
    }

    /// Whether the lines go to the worker's own log.
    pub(super) fn echoing(self, echo: bool) -> Self {
        Self { echo, ..self }
    }

    /// The place in the engine's log behind the last line that was taken, by whichever life of the worker.
    pub(super) fn position(&self) -> LogPosition {
        self.log.position()
    }

    /// What tells, while lines are being taken, whether they still arrive.
    pub(super) fn read(&self) -> LinesRead {
        self.read.clone()
    }

    /// The last lines.
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }
}

impl LogSink for Output {
    fn skipped(&mut self) {
        self.read.one_more();
    }

    fn line(&mut self, stream: OutputStream, line: &[u8], end: LogPosition) {
        self.read.one_more();
        let text = self.redactor.mask(printable(line));
        self.log.append(text.as_bytes(), end);
        let name = match stream {
            OutputStream::Stdout => "stdout",
            OutputStream::Stderr => "stderr",
        };
        if self.echo {
            info!(
                target: "tink_worker::output",
                workflow = %self.assignment.workflow, action = %self.assignment.name,
                action_id = %self.assignment.action, stream = name, "{text}"
            );
        }
        self.tail.push(&text);
        if self.events.is_watched() {
            self.events.emit(&WorkerEvent::OutputLine { assignment: Arc::clone(&self.assignment), stream, line: text });
        }
    }
}
