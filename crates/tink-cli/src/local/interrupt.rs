//! Ctrl-C and SIGTERM.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// Waits for a person, or the system, to interrupt.
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// From now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the handlers cannot be set.
    pub fn new() -> Result<Self, Failure> {
        let doing = "failed to set a signal handler";
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context(doing)?,
            terminate: signal(SignalKind::terminate()).context(doing)?,
        })
    }

    /// Returns at the next signal.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
