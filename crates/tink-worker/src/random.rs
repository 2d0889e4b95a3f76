//! Randomness that needs to be nobody's secret: jitter, names.

use std::hash::{BuildHasher, RandomState};

/// 64 random bits. A hasher's random keys are the standard library's only source of randomness.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().hash_one(0_u8)
}
