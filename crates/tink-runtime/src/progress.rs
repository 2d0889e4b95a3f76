//! What a pull tells whoever watches.

use tokio::sync::watch;

/// How far a pull is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// Bytes of compressed layers received.
    pub bytes_done: u64,
    /// Bytes of compressed layers in all, as far as known.
    pub bytes_total: u64,
    /// Layers complete.
    pub layers_done: usize,
    /// Layers in all, as far as known.
    pub layers_total: usize,
}

/// The sending end of a pull's progress; only the newest value is kept, so a slow watcher costs nothing.
#[derive(Clone, Debug)]
pub struct Progress(watch::Sender<PullProgress>);

impl Progress {
    /// A progress nobody watches yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(PullProgress::default()))
    }

    /// Watches from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<PullProgress> {
        self.0.subscribe()
    }

    /// Publishes the newest state.
    pub fn set(&self, now: PullProgress) {
        self.0.send_if_modified(|old| {
            let changed = *old != now;
            *old = now;
            changed
        });
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
