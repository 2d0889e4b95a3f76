//! Randomness that needs to be nobody's secret: jitter, names.

use std::hash::{BuildHasher, RandomState};

/// 64 random bits. A hasher's random keys are the standard library's only source of randomness.
pub(crate) fn random_u64() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(bits) = seeded::next() {
        return bits;
    }
    RandomState::new().hash_one(0_u8)
}

/// Randomness of a thread that repeats itself.
#[cfg(feature = "simulation")]
pub mod seeded {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// From now on this thread's randomness follows from `seed`; none ends that.
    pub fn seed(seed: Option<u64>) {
        STATE.set(seed);
    }

    pub(super) fn next() -> Option<u64> {
        // splitmix64
        let state = STATE.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(Some(state));
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ (z >> 31))
    }
}
