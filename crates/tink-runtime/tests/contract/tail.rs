//! Output that is read while a test goes on.

use std::sync::Arc;

use tink_runtime::{HandleRecord, LogPosition, LogSink, OutputStream, Runtime, RuntimeError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::within;

type Lines = Vec<(OutputStream, Vec<u8>)>;

/// A container's output, read by a task.
pub struct Tail {
    lines: watch::Receiver<Whole>,
    reader: JoinHandle<Result<(), RuntimeError>>,
}

/// All of it, and the place behind each line.
#[derive(Clone, Default)]
pub struct Whole(pub Lines, pub Vec<LogPosition>);

struct Sink(watch::Sender<Whole>);

impl LogSink for Sink {
    fn line(&mut self, stream: OutputStream, line: &[u8], end: LogPosition) {
        self.0.send_modify(|Whole(lines, ends)| {
            lines.push((stream, line.to_vec()));
            ends.push(end);
        });
    }
}

impl Tail {
    pub fn start(runtime: &Arc<dyn Runtime>, record: &HandleRecord, from: LogPosition) -> Self {
        let (sender, lines) = watch::channel(Whole::default());
        let (runtime, record) = (Arc::clone(runtime), record.clone());
        let reader = tokio::spawn(async move { runtime.logs(&record, from, &mut Sink(sender)).await });
        Self { lines, reader }
    }

    /// Waits until this line has been delivered.
    pub async fn line(&mut self, wanted: &str) {
        let found = self.lines.wait_for(|whole| whole.0.iter().any(|(_, line)| line == wanted.as_bytes()));
        if within(found).await.is_err() {
            let lines = self.lines.borrow().clone();
            panic!("the output ended without {wanted:?}: {:?} {:?}", lines.stdout(), lines.stderr());
        }
    }

    /// Waits until this line is the last one that was delivered.
    pub async fn last_line(&mut self, wanted: &str) {
        let is_it = |whole: &Whole| whole.0.last().is_some_and(|(_, line)| line == wanted.as_bytes());
        within(self.lines.wait_for(is_it)).await.expect("the output goes on until then");
    }

    /// Stops reading, as a worker does that is killed.
    pub async fn kill(self) -> Whole {
        self.reader.abort();
        self.reader.await.expect_err("it still reads");
        self.lines.borrow().clone()
    }

    /// Waits for the end of the output.
    pub async fn finish(self) -> Whole {
        within(self.reader).await.expect("the reader does not panic").expect("the output is read to its end");
        self.lines.borrow().clone()
    }
}

impl Whole {
    /// The place behind the last line.
    pub fn end(&self) -> LogPosition {
        self.1.last().copied().unwrap_or_default()
    }

    pub fn stdout(&self) -> Vec<String> {
        self.stream(OutputStream::Stdout)
    }

    pub fn stderr(&self) -> Vec<String> {
        self.stream(OutputStream::Stderr)
    }

    fn stream(&self, wanted: OutputStream) -> Vec<String> {
        let lines = self.0.iter().filter(|(stream, _)| *stream == wanted);
        lines.map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect()
    }
}
