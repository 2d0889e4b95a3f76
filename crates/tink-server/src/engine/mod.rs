//! The engine: the only place that changes workflows.
//!
//! ```text
//! event ─► read (workflow, version) ─► tink_workflow::step ─► put if still at version ─► wake, count, log
//!              ▲                                                   │ somebody was faster
//!              └───────────────────────────────────────────────────┘
//! ```
//!
//! Nothing is kept in memory that a restart would lose: held calls come again, deadlines are in the store.

mod apply;
mod caller;
mod error;
mod leases;
mod named;
mod offer;
mod presence;
mod record;
mod timer;
mod turns;
mod waiters;

use std::sync::Arc;
use std::time::Duration;

use tink_workflow::{ActionState, Event, Refusal, Report, Timestamp, Workflow, WorkflowId};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::{Created, Put, SharedStore, StoredWorkflow, Tombstone, WorkflowEvent};

pub use caller::{Caller, Line, OpenLine};
pub use error::EngineError;
pub use leases::Leases;
pub use named::{Named, NamedReport};
pub use offer::{Look, Offer, Offered};
pub use presence::Presence;
pub use timer::run_timers;
pub use waiters::{Waiter, Waiters};

/// Attempts at a compare-and-swap before a caller is told to come again. Each lost attempt means that another change of
/// the same workflow won, and a workflow has one worker at its turn: more than a few means a storm.
pub const ATTEMPTS_MAX: usize = 32;

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It is stored, or said what was known already.
    Acknowledged,
    /// It changed nothing; the refusal is stored as an event.
    Refused(Refusal),
    /// Its workflow was deleted while the action was in this worker's hands.
    Deleted,
    /// Nobody may start the action but the process of this worker that has it; only RUNNING is answered so.
    Held {
        /// The process that has it, as it is written down.
        holder: String,
    },
}

/// Changes workflows and wakes the workers that wait for them.
pub struct Engine {
    pub(crate) store: SharedStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    /// Calls that are held for work.
    pub waiters: Waiters,
    /// When workers were seen.
    pub presence: Presence,
    /// Which processes of workers are alive.
    pub leases: Leases,
    /// Told when a deadline may have come nearer.
    deadlines_changed: Notify,
}

impl Engine {
    /// An engine over `store`, whose leases run out `lease` after the last sign of life.
    pub fn new(store: SharedStore, clock: Arc<dyn Clock>, metrics: Metrics, lease: Duration) -> Self {
        Self {
            store,
            clock,
            metrics,
            waiters: Waiters::default(),
            presence: Presence::default(),
            leases: Leases::new(lease),
            deadlines_changed: Notify::new(),
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes a worker's report of an action, which comes from the process `caller`. RUNNING asks leave, and only the
    /// process that has the action gets it, or one that takes it over from a process that is not alive. A result is
    /// taken from any.
    ///
    /// # Errors
    /// [`EngineError::NoWorkflow`] for a workflow that never was, [`EngineError::Store`] when it could not be stored.
    pub async fn report(&self, id: &WorkflowId, report: Report, caller: &Caller) -> Result<Reported, EngineError> {
        self.hear(id, report, caller, Event::Reported).await
    }

    /// Takes a worker's word that it is about to start an action that ends its machine, which asks leave as RUNNING does.
    ///
    /// # Errors
    /// As [`Engine::report`].
    pub async fn leaving(&self, id: &WorkflowId, report: Report, caller: &Caller) -> Result<Reported, EngineError> {
        self.hear(id, report, caller, Event::Leaving).await
    }

    async fn hear(
        &self,
        id: &WorkflowId,
        report: Report,
        caller: &Caller,
        event: impl FnOnce(Report) -> Event,
    ) -> Result<Reported, EngineError> {
        let tombstone =
            Tombstone { workflow: id.clone(), worker: report.worker.clone(), action: report.action.clone() };
        let (worker, action, said) = (report.worker.clone(), report.action.clone(), report.state);
        let event = event(report);
        let applied = if said == ActionState::Running || matches!(event, Event::Leaving(_)) {
            self.ask_leave(id, &worker, &action, &event, caller).await
        } else {
            self.apply(id, &event).await.map(|_| Reported::Acknowledged)
        };
        let refusal = match applied {
            Ok(Reported::Held { holder }) => {
                tracing::warn!(workflow = %id, %action, %worker, caller = caller.holder(), holder,
                    "an action is not started: another process of this worker has it");
                self.metrics.reports_refused.inc();
                return Ok(Reported::Held { holder });
            }
            Ok(done) => return Ok(done),
            Err(EngineError::Refused(refusal)) => refusal,
            Err(EngineError::NoWorkflow(id)) => {
                return if self.store.is_tombstone(&tombstone).await? {
                    Ok(Reported::Deleted)
                } else {
                    tracing::warn!(workflow = %id, %action, %worker, %said, "report of a workflow that is not here");
                    self.metrics.reports_refused.inc();
                    Err(EngineError::NoWorkflow(id))
                };
            }
            Err(other) => return Err(other),
        };
        // A workflow of the same name may have been created since.
        if matches!(refusal, Refusal::UnknownAction { .. }) && self.store.is_tombstone(&tombstone).await? {
            return Ok(Reported::Deleted);
        }
        tracing::warn!(workflow = %id, %action, %worker, %said, %refusal, "report refused");
        self.metrics.reports_refused.inc();
        self.store
            .append_event(WorkflowEvent {
                at: self.now(),
                workflow: id.clone(),
                kind: "refused",
                message: format!("report of {said}: {refusal}"),
                worker: Some(worker),
                action: Some(action),
                state: "",
            })
            .await?;
        Ok(Reported::Refused(refusal))
    }

    /// Stores a new workflow and wakes its workers.
    ///
    /// # Errors
    /// [`EngineError::Exists`] when the id is taken.
    pub async fn create(&self, workflow: Workflow, manifest_json: String) -> Result<Arc<StoredWorkflow>, EngineError> {
        let event = WorkflowEvent {
            at: workflow.created_at,
            workflow: workflow.id.clone(),
            kind: "created",
            message: record::describe(&workflow),
            worker: None,
            action: None,
            state: workflow.state.as_str(),
        };
        let id = workflow.id.clone();
        match self.store.create_workflow(workflow, manifest_json, vec![event]).await? {
            Created::Exists => Err(EngineError::Exists(id)),
            Created::Stored(stored) => {
                tracing::info!(workflow = %id, tasks = stored.workflow.tasks.len(), "workflow created");
                for task in &stored.workflow.tasks {
                    self.waiters.wake(&task.worker);
                }
                Ok(stored)
            }
        }
    }

    /// Ends a workflow CANCELLED.
    ///
    /// # Errors
    /// [`EngineError::NoWorkflow`], [`EngineError::Refused`] when it ended otherwise before.
    pub async fn cancel(&self, id: &WorkflowId, reason: String) -> Result<StoredWorkflow, EngineError> {
        self.apply(id, &Event::Cancelled { reason }).await
    }

    /// Deletes a workflow in any state.
    ///
    /// # Errors
    /// [`EngineError::NoWorkflow`] when there is none.
    pub async fn delete(&self, id: &WorkflowId) -> Result<(), EngineError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(stored) = self.store.workflow(id).await? else {
                return Err(EngineError::NoWorkflow(id.clone()));
            };
            let workflow = &stored.workflow;
            let tombstone = workflow.current.as_ref().map(|current| Tombstone {
                workflow: id.clone(),
                worker: current.worker.clone(),
                action: current.action.clone(),
            });
            let event = WorkflowEvent {
                at: self.now(),
                workflow: id.clone(),
                kind: "deleted",
                message: format!("deleted while {}", workflow.state),
                worker: None,
                action: None,
                state: "",
            };
            if self.store.delete_workflow(id, stored.version, tombstone, event).await? == Put::Stored {
                tracing::info!(workflow = %id, state = %workflow.state, "workflow deleted");
                // Another workflow may have waited behind this one.
                for task in &workflow.tasks {
                    self.waiters.wake(&task.worker);
                }
                return Ok(());
            }
        }
        Err(EngineError::Contended(id.clone()))
    }
}

#[cfg(test)]
mod tests;
