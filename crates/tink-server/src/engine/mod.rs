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
mod error;
mod named;
mod offer;
mod presence;
mod record;
mod timer;
mod turns;
mod waiters;

use std::sync::Arc;

use tink_workflow::{Event, Refusal, Report, Timestamp, Workflow, WorkflowId};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::{Created, Put, SharedStore, StoredWorkflow, Tombstone, WorkflowEvent};

pub use error::EngineError;
pub use named::{Named, NamedReport};
pub use offer::Offer;
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
    /// Told when a deadline may have come nearer.
    deadlines_changed: Notify,
}

impl Engine {
    /// An engine over `store`.
    pub fn new(store: SharedStore, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self {
            store,
            clock,
            metrics,
            waiters: Waiters::default(),
            presence: Presence::default(),
            deadlines_changed: Notify::new(),
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes a worker's report of an action.
    ///
    /// # Errors
    /// [`EngineError::NoWorkflow`] for a workflow that never was, [`EngineError::Store`] when it could not be stored.
    pub async fn report(&self, id: &WorkflowId, report: Report) -> Result<Reported, EngineError> {
        self.hear(id, report, Event::Reported).await
    }

    /// Takes a worker's word that it is about to start an action that ends its machine.
    ///
    /// # Errors
    /// As [`Engine::report`].
    pub async fn leaving(&self, id: &WorkflowId, report: Report) -> Result<Reported, EngineError> {
        self.hear(id, report, Event::Leaving).await
    }

    async fn hear(
        &self,
        id: &WorkflowId,
        report: Report,
        event: impl FnOnce(Report) -> Event,
    ) -> Result<Reported, EngineError> {
        let tombstone =
            Tombstone { workflow: id.clone(), worker: report.worker.clone(), action: report.action.clone() };
        let (worker, action, said) = (report.worker.clone(), report.action.clone(), report.state);
        let refusal = match self.apply(id, &event(report)).await {
            Ok(_) => return Ok(Reported::Acknowledged),
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
