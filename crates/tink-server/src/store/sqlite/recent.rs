//! Open workflows as they are on disk, those changed last: a report need not read and parse what the one before it wrote.
//!
//! Only the writer puts anything in, after its commit and before it answers, so nothing here is ever older than what a
//! caller was told. Readers never put in what they read: it may be old by the time they do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tink_workflow::WorkflowId;

use super::super::StoredWorkflow;

/// Bytes of the JSON of all that is kept: thousands of usual workflows, a few of the largest.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A workflow that a transaction stored or deleted.
pub struct Rewritten {
    pub id: WorkflowId,
    /// What it is now and the bytes of its JSON; none when there is nothing to keep.
    pub now: Option<(Arc<StoredWorkflow>, usize)>,
}

#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    by_id: HashMap<WorkflowId, Entry>,
    /// Oldest change first.
    by_age: BTreeMap<u64, WorkflowId>,
    bytes: usize,
    changes: u64,
}

struct Entry {
    stored: Arc<StoredWorkflow>,
    bytes: usize,
    change: u64,
}

impl Recent {
    /// The workflow, if it is kept.
    pub fn get(&self, id: &WorkflowId) -> Option<Arc<StoredWorkflow>> {
        self.lock().by_id.get(id).map(|entry| Arc::clone(&entry.stored))
    }

    /// Takes in what a commit changed. When it is not known whether it was committed, all of it is forgotten.
    pub fn note(&self, rewritten: impl Iterator<Item = Rewritten>, committed: bool) {
        let mut kept = self.lock();
        for Rewritten { id, now } in rewritten {
            kept.forget(&id);
            if committed && let Some((stored, bytes)) = now {
                kept.keep(id, stored, bytes);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, id: WorkflowId, stored: Arc<StoredWorkflow>, bytes: usize) {
        self.changes += 1;
        self.bytes += bytes;
        self.by_age.insert(self.changes, id.clone());
        self.by_id.insert(id, Entry { stored, bytes, change: self.changes });
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.by_age.first_key_value()
        {
            let oldest = oldest.clone();
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, id: &WorkflowId) {
        if let Some(entry) = self.by_id.remove(id) {
            self.by_age.remove(&entry.change);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(name: &str, version: i64, bytes: usize) -> Rewritten {
        let id = WorkflowId::new("default", name).unwrap();
        let spec = serde_json::json!({
            "name": "w", "tasks": [{"name": "t", "worker": "m", "actions": [{"name": "a", "image": "i"}]}],
        });
        let mut ids = 0;
        let workflow = tink_workflow::Workflow::from_spec(
            id.clone(),
            &serde_json::from_value(spec).unwrap(),
            tink_workflow::Timestamp::UNIX_EPOCH,
            || {
                ids += 1;
                ids.to_string()
            },
        );
        let stored = StoredWorkflow { workflow: workflow.unwrap(), version, manifest_json: "{}".into() };
        Rewritten { id, now: Some((Arc::new(stored), bytes)) }
    }

    fn version(recent: &Recent, name: &str) -> Option<i64> {
        recent.get(&WorkflowId::new("default", name).unwrap()).map(|stored| stored.version)
    }

    #[test]
    fn what_changed_last_is_kept_within_the_bound() {
        let recent = Recent::default();
        let third = BYTES_MAX / 3;
        recent.note(["a", "b", "c"].map(|name| rewritten(name, 1, third)).into_iter(), true);
        recent.note([rewritten("a", 2, third)].into_iter(), true);
        recent.note([rewritten("d", 1, third)].into_iter(), true);
        let versions = ["a", "b", "c", "d"].map(|name| version(&recent, name));
        assert_eq!(versions, [Some(2), None, Some(1), Some(1)]);
        recent.note([rewritten("huge", 1, BYTES_MAX + 1)].into_iter(), true);
        let kept = recent.lock();
        assert_eq!((kept.bytes, kept.by_id.len(), kept.by_age.len()), (0, 0, 0));
    }

    #[test]
    fn what_may_not_be_committed_is_forgotten() {
        let recent = Recent::default();
        recent.note([rewritten("a", 1, 10)].into_iter(), true);
        recent.note([rewritten("a", 2, 10)].into_iter(), false);
        assert_eq!(version(&recent, "a"), None);
        recent.note([rewritten("a", 3, 10)].into_iter(), true);
        recent.note([Rewritten { id: WorkflowId::new("default", "a").unwrap(), now: None }].into_iter(), true);
        assert_eq!(version(&recent, "a"), None);
    }
}
