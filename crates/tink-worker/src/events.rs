//! What happens in the worker, for whoever watches: a progress display, a test.

mod queue;

use std::fmt;
use std::sync::Arc;

use tink_runtime::{OutputStream, PullProgress};
use tink_workflow::{ActionState, Timestamp};

use crate::Assignment;

pub use queue::{EventStream, event_channel};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum WorkerEvent {
    /// The server answers (again).
    Connected,
    /// The server does not answer, or not sensibly, for this reason. Sent once until it answers again.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// An action was taken from the server, or taken up after a restart of the worker.
    AssignmentTaken {
        /// The action.
        assignment: Arc<Assignment>,
        /// Whether an earlier life of the worker had started it.
        taken_up: bool,
    },
    /// The image is being pulled.
    PullProgress {
        /// The action.
        assignment: Arc<Assignment>,
        /// How far the pull is.
        progress: PullProgress,
    },
    /// A pull, or another call to the engine, failed and will be repeated.
    Retrying {
        /// The action.
        assignment: Arc<Assignment>,
        /// Why.
        reason: String,
    },
    /// The container runs.
    Started {
        /// The action.
        assignment: Arc<Assignment>,
        /// Counts the runs of the action.
        attempt: u32,
        /// When.
        at: Timestamp,
    },
    /// The action wrote a line.
    OutputLine {
        /// The action.
        assignment: Arc<Assignment>,
        /// Where to.
        stream: OutputStream,
        /// The line without its end, secrets masked.
        line: String,
    },
    /// So many lines of output did not fit between the last event and the next one.
    OutputDropped {
        /// Number of lines.
        lines: u64,
    },
    /// The action has a result, which is on disk.
    Ended {
        /// The action.
        assignment: Arc<Assignment>,
        /// The result.
        state: ActionState,
        /// What happened, as it is reported.
        message: String,
        /// How long it took.
        duration: String,
    },
    /// The server has the result, or will never take it.
    Reported {
        /// The action.
        assignment: Arc<Assignment>,
        /// The result.
        state: ActionState,
        /// Whether the server took it.
        accepted: bool,
    },
}

/// Sees every event, in order, at once. Must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &WorkerEvent);
}

/// Whoever watches.
#[derive(Clone, Default)]
pub struct Events(Vec<Arc<dyn Observer>>);

impl Events {
    /// Nobody watches.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds an observer.
    #[must_use]
    pub fn with(mut self, observer: Arc<dyn Observer>) -> Self {
        self.0.push(observer);
        self
    }

    pub(crate) fn emit(&self, event: &WorkerEvent) {
        for observer in &self.0 {
            observer.observe(event);
        }
    }

    pub(crate) fn is_watched(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({} observers)", self.0.len())
    }
}
