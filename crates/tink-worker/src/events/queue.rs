//! A bounded queue of events between the worker and a slow display.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Observer, WorkerEvent};

/// State events kept at most; they are few, and a display that is this far behind is not looking.
const STATE_EVENTS_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<WorkerEvent>,
    output: usize,
    dropped: u64,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
    output_max: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole after every statement, so a panic elsewhere does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sender(Arc<Shared>);

/// The receiving end; ends when the worker and its events are dropped.
#[derive(Debug)]
pub struct EventStream(Arc<Shared>);

/// A queue that keeps state events and up to `output_lines_max` lines of output; further lines are dropped and counted
/// ([`WorkerEvent::OutputDropped`]).
#[must_use]
pub fn event_channel(output_lines_max: usize) -> (Arc<dyn Observer>, EventStream) {
    let shared =
        Arc::new(Shared { queue: Mutex::default(), changed: Notify::new(), output_max: output_lines_max.max(1) });
    (Arc::new(Sender(Arc::clone(&shared))), EventStream(shared))
}

impl Observer for Sender {
    fn observe(&self, event: &WorkerEvent) {
        let mut queue = self.0.lock();
        match event {
            WorkerEvent::OutputLine { .. } if queue.output >= self.0.output_max => {
                queue.dropped += 1;
                return;
            }
            WorkerEvent::OutputLine { .. } => queue.output += 1,
            // Only the newest progress matters.
            WorkerEvent::PullProgress { .. }
                if matches!(queue.events.back(), Some(WorkerEvent::PullProgress { .. })) =>
            {
                queue.events.pop_back();
            }
            _ if queue.events.len() >= self.0.output_max + STATE_EVENTS_MAX => return,
            _ => {}
        }
        if queue.dropped > 0 {
            let lines = std::mem::take(&mut queue.dropped);
            queue.events.push_back(WorkerEvent::OutputDropped { lines });
        }
        queue.events.push_back(event.clone());
        drop(queue);
        self.0.changed.notify_one();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_one();
    }
}

impl EventStream {
    /// The next event, or `None` when the worker is gone and everything was delivered.
    pub async fn next(&mut self) -> Option<WorkerEvent> {
        loop {
            {
                let mut queue = self.0.lock();
                if let Some(event) = queue.events.pop_front() {
                    if matches!(event, WorkerEvent::OutputLine { .. }) {
                        queue.output -= 1;
                    }
                    return Some(event);
                }
                if queue.dropped > 0 {
                    let lines = std::mem::take(&mut queue.dropped);
                    return Some(WorkerEvent::OutputDropped { lines });
                }
                if queue.closed {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tink_runtime::OutputStream;

    fn line(text: &str) -> WorkerEvent {
        WorkerEvent::OutputLine {
            assignment: Arc::new(crate::journal::tests::assignment("default/w", "a")),
            stream: OutputStream::Stdout,
            line: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_slow_watcher_loses_output_but_learns_how_much_and_no_state() {
        let (observer, mut stream) = event_channel(2);
        for text in ["1", "2", "3", "4"] {
            observer.observe(&line(text));
        }
        observer.observe(&WorkerEvent::Connected);
        drop(observer);
        let mut seen = Vec::new();
        while let Some(event) = stream.next().await {
            seen.push(match event {
                WorkerEvent::OutputLine { line, .. } => line,
                WorkerEvent::OutputDropped { lines } => format!("dropped {lines}"),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(seen, ["1", "2", "dropped 2", "Connected"]);
    }
}
