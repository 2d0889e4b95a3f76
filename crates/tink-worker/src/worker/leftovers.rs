//! Removing containers of actions that have ended, beside everything else: an engine that hangs holds up no report.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Dispatcher, FIRST_TRY_MAX};
use crate::journal::{Entry, EntryId, Phase};

/// Between two tries of an idle worker; a busy one tries after each action.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Removals that failed and are tried again, one after another.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    pub(super) tries: JoinSet<()>,
    tried_at: Option<Instant>,
}

impl Dispatcher {
    /// Removes the containers of an entry whose result is on disk. Work is asked for when that is done, so that the next
    /// action has the room, unless the engine takes long over it.
    pub(super) fn clear_up(&mut self, entry: Entry) {
        self.clear_up_leftovers(Some(entry.id));
        let (done, cleared) = oneshot::channel::<()>();
        let executor = self.executor.clone();
        self.chores.spawn(async move {
            executor.clear_up(&entry).await;
            drop(done);
        });
        self.tried.push(Box::pin(async move { drop(timeout(FIRST_TRY_MAX, cleared).await) }));
    }

    /// Tries the removals again that failed, in this life or an earlier one, but for this one.
    pub(super) fn clear_up_leftovers(&mut self, but: Option<EntryId>) {
        let has_ended = |entry: &Entry| matches!(entry.phase(), Phase::Finished | Phase::Closed);
        let mut entries = self.journal.entries();
        entries.retain(|entry| has_ended(entry) && entry.holds_containers() && but != Some(entry.id));
        if entries.is_empty() || !self.leftovers.tries.is_empty() {
            return;
        }
        self.leftovers.tried_at = Some(Instant::now());
        let executor = self.executor.clone();
        self.leftovers.tries.spawn(async move {
            for entry in entries {
                executor.clear_up_again(&entry).await;
            }
        });
    }

    /// The same where nothing else happens.
    pub(super) fn clear_up_leftovers_at_times(&mut self) {
        if self.leftovers.tried_at.is_none_or(|tried_at| tried_at.elapsed() >= AGAIN_AFTER) {
            self.clear_up_leftovers(None);
        }
    }
}
