//! Privileged means: every capability of our own bounding set.
//!
//! A root process gains the whole bounding set at exec, so there is nothing to set; what the set lacks is worth a word in
//! the log, since an action that needs it fails in a way that names nothing.

use std::sync::Once;

use rustix::thread::{CapabilitySet, capability_is_in_bounding_set};

/// The names of the capabilities that this kernel knows and our bounding set lacks: privileged containers lack them, too.
#[must_use]
pub fn missing_capabilities() -> Vec<&'static str> {
    CapabilitySet::all()
        .iter_names()
        .filter(|(_, capability)| capability_is_in_bounding_set(*capability) == Ok(false))
        .map(|(name, _)| name)
        .collect()
}

/// Says in the log what privileged containers will lack, once in the life of this process.
pub(crate) fn log_missing_once() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let missing = missing_capabilities();
        if !missing.is_empty() {
            tracing::warn!(?missing, "privileged containers lack capabilities that this process was started without");
        }
    });
}
