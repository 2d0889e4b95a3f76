//! Entries that nothing will become of: the server does not ask for their actions any more.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Dispatcher, STALE_MAX};
use crate::error_chain;
use crate::journal::{EntryId, Phase};

/// Answers without work after which an action that the server must know of is none of its any more.
const NOTHING_MIN: u32 = 3;

/// Entries without a result whose container was looked for in this life and is gone. They run again if the server asks.
#[derive(Debug, Default)]
pub(super) struct Gone {
    entries: BTreeSet<EntryId>,
    /// Since when the server says that there is no work, and how often it has.
    nothing: Option<(Instant, u32)>,
}

impl Gone {
    pub(super) fn insert(&mut self, id: EntryId) {
        self.entries.insert(id);
        self.nothing = None;
    }

    /// It has a result now.
    pub(super) fn remove(&mut self, id: EntryId) {
        self.entries.remove(&id);
    }

    pub(super) fn contains(&self, id: EntryId) -> bool {
        self.entries.contains(&id)
    }

    /// The server gave out some action.
    pub(super) fn hear_work(&mut self) {
        self.nothing = None;
    }

    /// The server says that there is no work; since when it has said nothing else, if that was often enough.
    fn hear_nothing(&mut self) -> Option<Duration> {
        let (since, times) = self.nothing.get_or_insert((Instant::now(), 0));
        *times = times.saturating_add(1);
        (*times >= NOTHING_MIN).then(|| since.elapsed())
    }
}

impl Dispatcher {
    /// The server gives out an action that was never seen: what it has passed over holds nothing worth keeping.
    pub(super) async fn abandon_what_was_passed_over(&mut self) {
        for entry in self.journal.entries().into_iter().filter(|entry| entry.phase() == Phase::Assigned) {
            self.abandon(entry.id, "never started: the server went on to another action").await;
        }
        for id in self.gone.entries.clone() {
            self.abandon(id, "its container is gone without a result, and the server went on to another action").await;
        }
    }

    /// The server says that there is no work.
    ///
    /// It gives an action of which it has no result out again and again. So one whose container is gone ended without this
    /// worker: its workflow was cancelled or deleted, or another machine has it. Not believed at once: a server may answer from
    /// a cache, and may hold an action back for another process of this worker until that one's lease has run out. Should it be
    /// offered all the same later, it is treated as it would be now.
    pub(super) async fn hear_nothing(&mut self) {
        let Some(silent_for) = self.gone.hear_nothing() else { return };
        for id in self.gone.entries.clone() {
            let Some(entry) = self.journal.entry(id) else { continue };
            if silent_for >= STALE_MAX + Duration::from_secs(entry.assignment.lease_s) {
                self.abandon(id, "its container is gone without a result, and the server does not ask for it").await;
            }
        }
    }

    async fn abandon(&mut self, id: EntryId, why: &str) {
        let Some(entry) = self.journal.entry(id) else { return };
        if matches!(entry.phase(), Phase::Assigned | Phase::Attempted | Phase::Started) {
            if self.gone.contains(id) {
                info!(
                    workflow = %entry.assignment.workflow, action = %entry.assignment.name,
                    action_id = %entry.assignment.action, "the action is given up: {why}"
                );
            }
            if let Err(error) = self.journal.close(id, why.to_owned()).await {
                return warn!(entry = %id, error = error_chain(&error), "an entry could not be closed");
            }
        }
        self.gone.entries.remove(&id);
    }
}
