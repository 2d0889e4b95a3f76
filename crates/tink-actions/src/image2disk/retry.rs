//! For how long what failed is tried again.

use std::time::{Duration, Instant};

const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// How long tries go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// One try only.
    Once,
    /// For so long.
    For(Duration),
    /// Without end: the action's timeout ends it.
    Endless,
}

/// Tries, counted from a moment on.
#[derive(Debug)]
pub struct Retry {
    limit: Limit,
    since: Instant,
    tries: u32,
}

impl Retry {
    /// From now on.
    pub fn new(limit: Limit) -> Self {
        Self { limit, since: Instant::now(), tries: 0 }
    }

    /// Begins anew, for something was achieved.
    pub fn begin_anew(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Waits before the next try; false when there is none.
    pub fn pause(&mut self) -> bool {
        let wait = PAUSE_FIRST.saturating_mul(1 << self.tries.min(8)).min(PAUSE_MAX);
        match self.limit {
            Limit::Once => return false,
            Limit::For(limit) if self.since.elapsed() + wait >= limit => return false,
            Limit::For(_) | Limit::Endless => {}
        }
        self.tries += 1;
        wait_out(wait);
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "the pause before the next try is the purpose")]
fn wait_out(wait: Duration) {
    std::thread::sleep(wait);
}
