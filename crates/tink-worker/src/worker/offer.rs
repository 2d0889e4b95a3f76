//! What an answer of the server means against what the journal knows.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::{Dispatcher, HELD};
use crate::Assignment;
use crate::error_chain;
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
                if took >= HELD {
                    self.backoff.reset();
                }
                self.ask_later();
            }
            Ok(Next::Action(assignment)) => {
                self.link.up();
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
        let known = self.journal.find(&assignment.workflow, &assignment.action);
        let Some(entry) = known.filter(|entry| entry.closed.is_none() || entry.result.is_some()) else {
            return self.take(assignment).await;
        };
        match entry.phase() {
            Phase::Assigned => self.start(entry),
            Phase::Attempted | Phase::Started if self.gone.contains(&entry.id) => self.run_again(entry),
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

    /// Opens an entry for an action that was never seen.
    async fn take(&mut self, assignment: Assignment) {
        self.abandon_what_was_not_started().await;
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

    /// Entries that were never started and that the server passed over hold nothing worth keeping.
    async fn abandon_what_was_not_started(&mut self) {
        for entry in self.journal.entries().into_iter().filter(|entry| entry.phase() == Phase::Assigned) {
            let note = "never started: the server went on to another action".to_owned();
            if let Err(error) = self.journal.close(entry.id, note).await {
                warn!(entry = %entry.id, error = error_chain(&error), "an entry could not be closed");
            }
        }
    }

    fn run_again(&mut self, entry: Entry) {
        let foreign = entry.container.as_ref().is_some_and(|record| record.runtime != self.executor.runtime.name());
        if foreign {
            let executor = self.executor.clone();
            self.current = Some(entry.id);
            self.action.spawn(async move { executor.disown(&entry).await });
            return;
        }
        warn!(
            workflow = %entry.assignment.workflow, action = %entry.assignment.name,
            action_id = %entry.assignment.action, attempt = entry.next_attempt(),
            "the server asks for an action again whose container is gone without a result; it runs once more"
        );
        self.start(entry);
    }

    fn start(&mut self, entry: Entry) {
        self.settings
            .events
            .emit(&WorkerEvent::AssignmentTaken { assignment: Arc::clone(&entry.assignment), taken_up: false });
        let executor = self.executor.clone();
        self.current = Some(entry.id);
        self.action.spawn(async move { executor.fresh(entry).await });
    }
}
