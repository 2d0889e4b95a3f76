//! What the generations of 2021 and 2023 have in common: workers that ask where their workflows stand, fetch all actions of
//! each, run those that are theirs one after another, and report by the names of task and action.
//!
//! # What such a worker does, and what follows for the server
//! - It begins at the action that its context names and goes on through the list without asking again: the server cannot
//!   tell it to stop but by refusing a RUNNING report, and not even a restart of the server is noticed.
//! - After its own restart it runs the context's action from the start, finished or not. So a context always stands at the
//!   first action that has not succeeded: what finished is not run again, nothing is skipped. Tink's SQL servers left a
//!   worker without its context after the second action.
//! - If the context says RUNNING, it leaves the RUNNING report out, for every action until it asks again. So contexts for
//!   workers say PENDING until there is a result, and a result without RUNNING before it is taken. A worker that does not
//!   do so says `tink-contexts` in the metadata of its call, and is told the state as it is.
//! - It repeats a refused report: three times, then its process ends (v0.2 to v0.8), or for ever (v0.9 to v0.12). So a *result*
//!   is always answered with OK; what is wrong with it is kept as an event. RUNNING is refused where the action must not run.

mod actions;
mod id;
mod manner;
mod messages;
mod report;
mod spelling;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tink_workflow::{WorkerId, Workflow};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::engine::{Caller, Engine, Look, Waiter};
use crate::store::WorkerSeen;

pub use actions::{Action, Volumes};
pub use id::{DEFAULT_NAMESPACE, WireId};
pub(super) use manner::Manner;
pub(super) use messages::messages;
pub use report::{Answer, Said};
pub use spelling::Spellings;
pub use standing::{Context, State};

use super::failure;

/// The calls of both generations, over messages that are none of theirs.
pub struct Contexts {
    pub(super) engine: Arc<Engine>,
    /// How ids of workflows are written.
    ids: WireId,
    volumes: Volumes,
    spellings: Spellings,
    /// How long a call without work is held.
    hold: Duration,
    stopping: CancellationToken,
}

impl Contexts {
    /// Serves `engine`.
    pub fn new(
        engine: Arc<Engine>,
        ids: WireId,
        volumes: Volumes,
        hold: Duration,
        stopping: CancellationToken,
    ) -> Self {
        Self { engine, ids, volumes, spellings: Spellings::default(), hold, stopping }
    }

    /// GetWorkflowContexts: the workflows in which it is this worker's turn, those it has begun first, then the oldest.
    /// Without any the call is held until there is one; an end without any is "none now".
    pub async fn of_worker(&self, worker: String, caller: Caller, manner: Manner) -> Result<Vec<Context>, Status> {
        const CALL: &str = "GetWorkflowContexts";
        let asked =
            WorkerId::parse(worker).map_err(|error| Status::invalid_argument(format!("invalid worker id: {error}")))?;
        let engine = &self.engine;
        let seen = || WorkerSeen {
            id: asked.clone(),
            at: engine.now(),
            address: caller.address().to_owned(),
            attributes_json: None,
        };
        engine.presence.note(seen());
        let names = spelling::names_of(engine, &asked).await.map_err(|error| failure(CALL, &error.into()))?;
        // Registered before the first look, so that no wake between look and wait is lost.
        let waiters: Option<Vec<Waiter>> = names.iter().map(|name| engine.waiters.register(name)).collect();
        let waiters = waiters.ok_or_else(|| {
            Status::resource_exhausted(format!(
                "too many calls are held for worker {asked}, or in all; ask again later"
            ))
        })?;
        let deadline = tokio::time::sleep(if manner.waits { self.hold } else { Duration::ZERO });
        tokio::pin!(deadline);
        let mut look = Look::AtArrival;
        loop {
            let wake = select_all(waiters.iter().map(|waiter| Box::pin(waiter.next_wake())));
            let mut found = Vec::new();
            for name in &names {
                engine.leases.note(name, &caller, engine.now());
                let turns = match manner.waits {
                    true => engine.turns(name, &caller, look).await,
                    // A worker that runs an action looks, too.
                    false => engine.standing(name, &caller).await,
                };
                for stored in turns.map_err(|error| failure(CALL, &error))? {
                    self.spellings.note(&stored.workflow.id, name, &asked);
                    found.extend(self.for_worker(&stored.workflow, &asked, manner));
                }
            }
            look = Look::WhileHeld;
            if !found.is_empty() {
                engine.presence.note(seen());
                return Ok(found);
            }
            tokio::select! {
                _ = wake => {}
                () = &mut deadline => return Ok(found),
                () = self.stopping.cancelled() => return Ok(found),
            }
        }
    }

    /// As a worker is told: PENDING until there is a result, unless it can bear the truth.
    fn for_worker(&self, workflow: &Workflow, asked: &WorkerId, manner: Manner) -> Option<Context> {
        let mut context = standing::of(workflow, self.ids)?;
        if !manner.exact {
            context.state = State::Pending;
        }
        context.worker = asked.to_string();
        Some(context)
    }

    /// GetWorkflowContext: as it is, for people.
    pub async fn of_workflow(&self, id: &str) -> Result<Context, Status> {
        let workflow = self.workflow("GetWorkflowContext", id).await?;
        standing::of(&workflow, self.ids).ok_or_else(|| Status::failed_precondition("the workflow has no action"))
    }

    /// GetWorkflowContextList: every workflow with a task of this worker, ended or not.
    pub async fn list(&self, worker: String) -> Result<Vec<Context>, Status> {
        let worker =
            WorkerId::parse(worker).map_err(|error| Status::invalid_argument(format!("invalid worker id: {error}")))?;
        let filter = crate::store::WorkflowFilter { worker: Some(worker), ..Default::default() };
        let found = self.engine.store.workflows(&filter).await;
        let (workflows, _) = found.map_err(|error| failure("GetWorkflowContextList", &error.into()))?;
        Ok(workflows.iter().filter_map(|stored| standing::of(&stored.workflow, self.ids)).collect())
    }

    /// GetWorkflowActions: every action of every task, in order.
    pub async fn actions(&self, id: &str) -> Result<Vec<Action>, Status> {
        let workflow = self.workflow("GetWorkflowActions", id).await?;
        Ok(actions::of(&workflow, self.volumes, &self.spellings))
    }

    /// The workflow that a text of the wire names.
    pub async fn workflow(&self, call: &'static str, id: &str) -> Result<Workflow, Status> {
        let id = self.ids.parse(id)?;
        match self.engine.store.workflow(&id).await.map_err(|error| failure(call, &error.into()))? {
            Some(stored) => Ok(stored.workflow),
            None => Err(Status::not_found(format!("invalid workflow id: there is no workflow {id}"))),
        }
    }

    /// How long an action stays with a process that is not heard of.
    pub fn lease(&self) -> Duration {
        self.engine.leases.lease()
    }

    /// How this generation writes ids of workflows.
    pub fn ids(&self) -> WireId {
        self.ids
    }
}
