//! What an answer of the server means against what the journal knows.

use std::sync::Arc;
use std::time::Duration;

use tink_workflow::ActionId;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Dispatcher, HELD, STALE_MAX};
use crate::Assignment;
use crate::assignment::Begun;
use crate::events::WorkerEvent;
use crate::journal::{Entry, Phase};
use crate::transport::{Next, TransportError};

impl Dispatcher {
    /// Acts on an answer to a request for work; whether the transport is finished.
    pub(super) async fn answered(&mut self, answer: Result<Next, TransportError>, took: Duration) -> bool {
        match answer {
            Ok(Next::Finished) => return true,
            Ok(Next::Nothing) => {
                self.link.up();
                self.executor.reporter.offered(None).await;
                self.hear_nothing().await;
                self.clear_up_leftovers_at_times();
                if took >= HELD {
                    self.backoff.reset();
                }
                self.ask_later();
            }
            Ok(Next::Action(assignment)) => {
                self.link.up();
                self.gone.hear_work();
                let key = (assignment.workflow.clone(), assignment.action.clone());
                self.executor.reporter.offered(Some(key)).await;
                self.offered(*assignment).await;
            }
            Err(error) => {
                self.link.down(&error);
                self.ask_later();
            }
        }
        false
    }

    /// Takes an offered action: new, taken up, or answered from the journal. It is never run a second time while
    /// there is a way to know how the first run ends.
    async fn offered(&mut self, assignment: Assignment) {
        let Some(assignment) = self.incarnation(assignment) else { return self.ask_later() };
        let known = self.journal.find(&assignment.workflow, &assignment.action);
        let Some(entry) =
            known.filter(|entry| entry.closed.is_none() || entry.result.is_some() || self.is_foreign(entry))
        else {
            return self.take(assignment).await;
        };
        match entry.phase() {
            Phase::Closed if entry.result.is_none() => self.disown(entry),
            Phase::Assigned => self.start(entry),
            Phase::Attempted | Phase::Started if self.gone.contains(entry.id) => self.run_again(entry),
            Phase::Attempted | Phase::Started | Phase::Ended => {
                self.take_up.push_back(entry.id);
            }
            Phase::Finished | Phase::Closed => {
                if let Some(report) = &entry.result {
                    info!(
                        workflow = %assignment.workflow, action = %assignment.name, action_id = %assignment.action,
                        state = %report.state, "the server offers an action that has ended; its result is reported again"
                    );
                    self.report(entry.id, &entry.assignment, report).await;
                }
                self.ask_later();
            }
        }
    }

    /// Tells the action of a workflow from that of one which was deleted and created again under its name, where the
    /// wire has no ids and that is all the same to it. `None`: ask again, it is not yet certain which one is meant.
    ///
    /// The id of a later incarnation has its number after it, so that its entry and its container are its own.
    fn incarnation(&mut self, assignment: Assignment) -> Option<Assignment> {
        if assignment.begun == Begun::Unknown {
            return Some(assignment);
        }
        let key = (assignment.workflow.clone(), assignment.action.clone());
        let Some((number, entry)) = self.journal.find_incarnation(&assignment.workflow, &assignment.action) else {
            return Some(assignment);
        };
        let ended = entry.phase() == Phase::Closed && entry.result.is_some();
        if assignment.begun == Begun::Yes || !ended {
            self.anew = None;
            return Some(Assignment { action: entry.assignment.action.clone(), ..assignment });
        }
        // The action ended here, and the server says that nobody has begun it. A server that reads from a cache may say
        // so for a moment.
        match &self.anew {
            Some((seen, since)) if *seen == key => {
                if since.elapsed() < STALE_MAX {
                    return None;
                }
            }
            _ => {
                self.anew = Some((key, Instant::now()));
                return None;
            }
        }
        self.anew = None;
        let text = format!("{}~{}", assignment.action, number + 1);
        match ActionId::parse(text) {
            Ok(action) => {
                info!(workflow = %assignment.workflow, action = %assignment.name, "the workflow was created anew under its name");
                Some(Assignment { action, ..assignment })
            }
            Err(error) => {
                warn!(workflow = %assignment.workflow, %error, "an action cannot be given an id of its own");
                None
            }
        }
    }

    /// Opens an entry for an action that was never seen.
    async fn take(&mut self, assignment: Assignment) {
        self.abandon_what_was_passed_over().await;
        let opened = match self.journal.begin(assignment.clone()).await {
            Ok(entry) => Ok(entry),
            // A full disk is the usual cause; closed entries may go.
            Err(_) => match self.journal.prune_to(0, 0).await {
                Ok(()) => self.journal.begin(assignment).await,
                Err(error) => Err(error),
            },
        };
        match opened {
            Ok(entry) => self.start(entry),
            Err(error) => self.journal_failed(&error),
        }
    }

    fn run_again(&mut self, entry: Entry) {
        if self.is_foreign(&entry) {
            return self.disown(entry);
        }
        warn!(
            workflow = %entry.assignment.workflow, action = %entry.assignment.name,
            action_id = %entry.assignment.action, attempt = entry.next_attempt(),
            "the server asks for an action again whose container is gone without a result; it runs once more"
        );
        self.start(entry);
    }

    /// Whether another engine than this worker has was asked to run it.
    fn is_foreign(&self, entry: &Entry) -> bool {
        entry.other_runtime(self.executor.runtime.name()).is_some()
    }

    fn disown(&mut self, entry: Entry) {
        let executor = self.executor.clone();
        self.current = Some(entry.id);
        self.action.spawn(async move { executor.disown(&entry).await });
    }

    fn start(&mut self, entry: Entry) {
        self.settings
            .events
            .emit(&WorkerEvent::AssignmentTaken { assignment: Arc::clone(&entry.assignment), taken_up: false });
        let executor = self.executor.clone();
        self.current = Some(entry.id);
        self.settling.abort_all();
        self.renew_lease(&entry.assignment, false);
        self.action.spawn(async move { executor.fresh(entry).await });
    }
}
