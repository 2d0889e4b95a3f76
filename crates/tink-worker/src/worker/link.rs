//! Whether the server answers, said once per change.

use tracing::{info, warn};

use crate::events::{Events, WorkerEvent};
use crate::transport::TransportError;

/// What is logged as one state however its words vary.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Up,
    Unreachable,
    Answers(String),
    Garbage,
}

pub(super) struct Link {
    state: State,
    events: Events,
}

impl Link {
    pub(super) fn new(events: Events) -> Self {
        Self { state: State::Unknown, events }
    }

    pub(super) fn up(&mut self) {
        if self.state != State::Up {
            info!("the server answers");
            self.events.emit(&WorkerEvent::Connected);
            self.state = State::Up;
        }
    }

    pub(super) fn down(&mut self, error: &TransportError) {
        let state = match error {
            TransportError::Unreachable { .. } => State::Unreachable,
            TransportError::Answered { code, .. } => State::Answers(code.clone()),
            TransportError::Garbage { .. } => State::Garbage,
        };
        if self.state != state {
            warn!(%error, "no work can be taken from the server; the worker keeps trying");
            self.events.emit(&WorkerEvent::Disconnected { reason: error.to_string() });
            self.state = state;
        }
    }
}
