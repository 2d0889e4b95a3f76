//! One life of a process: it may end at any step it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Whether a process lives; clones are of the same process.
#[derive(Clone, Debug)]
pub struct Life(Arc<State>);

#[derive(Debug)]
struct State {
    /// Steps until it dies; 0 is never.
    left: AtomicU64,
    dead: AtomicBool,
    died: Notify,
}

impl Life {
    /// A process that dies at its `steps`-th step, or (0) by nothing of its own.
    #[must_use]
    pub fn new(steps: u64) -> Self {
        Self(Arc::new(State { left: AtomicU64::new(steps), dead: AtomicBool::new(false), died: Notify::new() }))
    }

    /// Takes a step; whether it was taken alive.
    #[must_use]
    pub fn step(&self) -> bool {
        if self.is_dead() {
            return false;
        }
        let left = self.0.left.load(Ordering::Relaxed);
        if left > 0 {
            self.0.left.store(left - 1, Ordering::Relaxed);
            if left == 1 {
                self.kill();
                return false;
            }
        }
        true
    }

    /// A step of a call that a dead process never returns from.
    pub async fn step_or_die(&self) {
        if !self.step() {
            std::future::pending().await
        }
    }

    /// Ends it.
    pub fn kill(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
        self.0.died.notify_one();
    }

    /// Whether it ended.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Relaxed)
    }

    /// Waits for its end.
    pub async fn died(&self) {
        self.0.died.notified().await;
    }
}
