//! The wall clock, passed in, so that tests own time.

use std::time::Duration;

use async_trait::async_trait;
use tink_workflow::Timestamp;

/// Longest uninterrupted sleep of [`SystemClock::sleep_until`]: a wall clock that is set forward (NTP on a machine that
/// booted with a wrong one) is noticed after at most this long.
const NAP_MAX: Duration = Duration::from_secs(15);

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The time now, UTC.
    fn now(&self) -> Timestamp;

    /// Returns when `now() >= at`, or somewhat earlier: callers look at the clock again.
    async fn sleep_until(&self, at: Timestamp);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO);
        tokio::time::sleep(left.min(NAP_MAX)).await;
    }
}

/// A clock that moves when it is told to.
#[cfg(test)]
pub struct ManualClock {
    now: tokio::sync::watch::Sender<Timestamp>,
}

#[cfg(test)]
impl ManualClock {
    /// Starts at a fixed moment.
    pub fn new() -> Self {
        Self { now: tokio::sync::watch::Sender::new("2026-01-01T00:00:00Z".parse().unwrap()) }
    }

    /// Lets `seconds` pass.
    pub fn advance(&self, seconds: i64) {
        self.now.send_modify(|now| *now = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap());
    }
}

#[cfg(test)]
#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let mut now = self.now.subscribe();
        // Ends early only when the clock is gone, and its test with it.
        let _ = now.wait_for(|now| *now >= at).await;
    }
}
