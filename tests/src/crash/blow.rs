//! Whom it hits, and how.

use std::fmt;
use std::time::Duration;

/// A program that can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// The worker with this number.
    Worker(usize),
    /// The process that owns a container, ours or the engine's.
    Shim,
    /// tink-server.
    Server,
    /// dockerd or containerd.
    Engine,
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(nth) => write!(f, "worker {nth}"),
            Self::Shim => f.write_str("shim"),
            Self::Server => f.write_str("server"),
            Self::Engine => f.write_str("engine"),
        }
    }
}

/// One planned death.
#[derive(Clone, Debug)]
pub(super) struct Blow {
    /// From the start of the round.
    pub(super) at: Duration,
    pub(super) victim: Victim,
    /// How long it stays dead.
    pub(super) pause: Duration,
    /// Beside this one: what is started again is to kill itself there.
    pub(super) failpoint: Option<String>,
}
