//! Output that is read while a test goes on.

use std::sync::Arc;

use tink_runtime::{HandleRecord, LogSink, OutputStream, Runtime, RuntimeError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::within;

type Lines = Vec<(OutputStream, Vec<u8>)>;

/// A container's output, read by a task.
pub struct Tail {
    lines: watch::Receiver<Lines>,
    reader: JoinHandle<Result<(), RuntimeError>>,
}

/// All of it.
pub struct Whole(pub Lines);

struct Sink(watch::Sender<Lines>);

impl LogSink for Sink {
    fn line(&mut self, stream: OutputStream, line: &[u8]) {
        self.0.send_modify(|lines| lines.push((stream, line.to_vec())));
    }
}

impl Tail {
    pub fn start(runtime: &Arc<dyn Runtime>, record: &HandleRecord, skip: u64) -> Self {
        let (sender, lines) = watch::channel(Lines::new());
        let (runtime, record) = (Arc::clone(runtime), record.clone());
        let reader = tokio::spawn(async move { runtime.logs(&record, skip, &mut Sink(sender)).await });
        Self { lines, reader }
    }

    /// Waits until this line has been delivered.
    pub async fn line(&mut self, wanted: &str) {
        let found = self.lines.wait_for(|lines| lines.iter().any(|(_, line)| line == wanted.as_bytes()));
        if within(found).await.is_err() {
            let lines = Whole(self.lines.borrow().clone());
            panic!("the output ended without {wanted:?}: {:?} {:?}", lines.stdout(), lines.stderr());
        }
    }

    /// Waits for the end of the output.
    pub async fn finish(self) -> Whole {
        within(self.reader).await.expect("the reader does not panic").expect("the output is read to its end");
        Whole(self.lines.borrow().clone())
    }
}

impl Whole {
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
