//! When workers were seen, written behind: a sight is no promise to anybody, so it does not cost an fsync of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tink_workflow::WorkerId;
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::store::{StoreError, WorkerSeen};

/// Time between two writes.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Workers remembered between two writes; beyond, sights are dropped until the next write.
const UNWRITTEN_MAX: usize = 20_000;
/// Bytes of attributes remembered between two writes; beyond, attributes are dropped until the worker's next call.
const UNWRITTEN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Sights that are not yet stored.
#[derive(Default)]
pub struct Presence {
    unwritten: Mutex<Unwritten>,
}

#[derive(Default)]
struct Unwritten {
    by_worker: HashMap<WorkerId, WorkerSeen>,
    bytes: usize,
}

impl Presence {
    /// Notes a sight. The newest counts; attributes are kept until others come.
    pub fn note(&self, mut seen: WorkerSeen) {
        let mut guard = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        let unwritten = &mut *guard;
        let bytes = seen.attributes_json.as_ref().map_or(0, String::len);
        if unwritten.bytes + bytes > UNWRITTEN_BYTES_MAX {
            seen.attributes_json = None;
        } else {
            unwritten.bytes += bytes;
        }
        let full = unwritten.by_worker.len() >= UNWRITTEN_MAX;
        match unwritten.by_worker.entry(seen.id.clone()) {
            Entry::Occupied(mut known) => {
                let before = known.get_mut();
                let (newer, older) = if seen.at >= before.at {
                    let older = before.attributes_json.take();
                    *before = seen;
                    (before, older)
                } else {
                    (before, seen.attributes_json)
                };
                newer.attributes_json = newer.attributes_json.take().or(older);
            }
            Entry::Vacant(_) if full => {}
            Entry::Vacant(free) => {
                free.insert(seen);
            }
        }
    }

    fn take(&self) -> Vec<WorkerSeen> {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *unwritten).by_worker.into_values().collect()
    }
}

impl Engine {
    /// Stores what was seen since the last time.
    ///
    /// # Errors
    /// [`StoreError`]; the sights are kept for the next time.
    pub async fn flush_presence(&self) -> Result<(), StoreError> {
        let seen = self.presence.take();
        if seen.is_empty() {
            return Ok(());
        }
        let stored = self.store.see_workers(seen.clone()).await;
        if stored.is_err() {
            seen.into_iter().for_each(|seen| self.presence.note(seen));
        }
        stored
    }

    /// Stores sights every few seconds until `stop`, and once more then.
    pub async fn run_presence(&self, stop: CancellationToken) {
        loop {
            let stopped = tokio::time::timeout(FLUSH_EVERY, stop.cancelled()).await.is_ok();
            if let Err(error) = self.flush_presence().await {
                tracing::debug!(error = %tink_error::chain(&error), "sights of workers wait to be stored");
            }
            if stopped {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: &str, attributes: Option<&str>) -> WorkerSeen {
        WorkerSeen {
            id: WorkerId::parse("m").unwrap(),
            at: at.parse().unwrap(),
            address: at.to_owned(),
            attributes_json: attributes.map(str::to_owned),
        }
    }

    #[test]
    fn the_newest_sight_counts_and_attributes_stay() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z");
        let presence = Presence::default();
        presence.note(seen(early, Some("{}")));
        presence.note(seen(late, None));
        // As after a write that failed.
        presence.note(seen(early, Some("older")));
        assert_eq!(presence.take(), [seen(late, Some("{}"))]);
        assert_eq!(presence.take(), []);
    }

    #[test]
    fn attributes_are_bounded() {
        let presence = Presence::default();
        presence.note(seen("2026-01-01T00:00:00Z", Some(&"x".repeat(UNWRITTEN_BYTES_MAX + 1))));
        assert_eq!(presence.take(), [seen("2026-01-01T00:00:00Z", None)]);
    }
}
