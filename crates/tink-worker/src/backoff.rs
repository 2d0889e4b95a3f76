//! Pauses between tries.

use std::time::Duration;

use crate::random::random_u64;

/// Growing pauses with jitter: 0.5 s, ×1.5 each time up to a cap, then ±50 %, as upstream's agents pause.
///
/// The jitter keeps a thousand workers that lost the same server from coming back at the same instant.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
    random: u64,
}

impl Backoff {
    /// Pauses that grow up to `max` (before the jitter).
    #[must_use]
    pub fn new(max: Duration) -> Self {
        let first = Duration::from_millis(500).min(max);
        Self { first, max, next: first, random: random_u64() | 1 }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let base = self.next;
        self.next = base.mul_f64(1.5).min(self.max);
        // xorshift64.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let permille = 500 + u32::try_from(self.random % 1001).unwrap_or(500);
        base * permille / 1000
    }

    /// Starts over with the shortest pause.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_stay_within_the_jitter() {
        let max = Duration::from_secs(5);
        let mut backoff = Backoff::new(max);
        let mut base = Duration::from_millis(500);
        for _ in 0..100 {
            let pause = backoff.pause();
            assert!(pause >= base / 2 && pause <= base * 3 / 2, "{pause:?} around {base:?}");
            base = base.mul_f64(1.5).min(max);
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(750));
    }

    #[test]
    fn a_cap_below_the_first_pause_is_kept() {
        let mut backoff = Backoff::new(Duration::from_millis(10));
        assert!((0..20).all(|_| backoff.pause() <= Duration::from_millis(15)));
    }
}
