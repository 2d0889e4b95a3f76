//! Which action a worker gets.

use tink_workflow::{Event, Next, WorkerId, Workflow, next_action};

use super::{ATTEMPTS_MAX, Caller, Engine, EngineError};
use crate::store::StoredWorkflow;

/// An action for a worker, noted in its workflow as given out.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its workflow.
    pub stored: StoredWorkflow,
    /// Place of its task.
    pub task: usize,
    /// Place of the action in its task.
    pub action: usize,
}

/// What a worker that asks for work gets now.
#[derive(Clone, Debug)]
pub enum Offered {
    /// This.
    Action(Box<Offer>),
    /// Nothing.
    Nothing,
    /// Nothing, for another process of this worker has an action and is alive.
    Held {
        /// The other process, as it is written down.
        holder: String,
        /// Where it called from last; empty when it is not known.
        address: String,
    },
}

/// When a request for work is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As it arrives: the process that sends it runs no action.
    AtArrival,
    /// While it is held: that process may have begun an action since, by another call.
    WhileHeld,
}

impl Engine {
    /// What `worker` gets now, which calls as the process `caller`.
    ///
    /// Workflows that ended never hide others. Of several, the one at which the worker has begun comes first, then the
    /// oldest: a worker finishes one workflow before it starts the next, also over a restart of either side. While another
    /// process of this worker has begun a task and is alive, this one gets nothing at all. Nor does it while it is about to
    /// end its machine.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the offer could not be stored.
    pub async fn offer(&self, worker: &WorkerId, caller: &Caller, look: Look) -> Result<Offered, EngineError> {
        for _ in 0..ATTEMPTS_MAX {
            let open = self.store.open_workflows_of(worker).await?;
            // An action that was to end its machine has done so when its worker asks for work, with its memory or without.
            if let Some(left) = open.iter().find(|stored| self.has_left(stored, worker, caller, look)).cloned() {
                self.try_apply(left, &Event::Returned { worker: worker.clone() }).await?;
                continue;
            }
            if let Some(holder) = open.iter().find_map(|stored| self.holder_beside(&stored.workflow, worker, caller)) {
                let address = self.leases.address(worker, holder);
                self.say_passed_over(worker, caller, holder, &address);
                return Ok(Offered::Held { holder: holder.to_owned(), address });
            }
            self.leases.pass_over(worker, caller, false);
            if open.iter().any(|stored| matches!(next_action(&stored.workflow, worker), Next::Leaving(..))) {
                return Ok(Offered::Nothing);
            }
            let Some((stored, task, action)) = choose(open, worker) else { return Ok(Offered::Nothing) };
            let id = stored.workflow.tasks[task].actions[action].id.clone();
            let holder = caller.holder().to_owned();
            let offered = Event::Offered { worker: worker.clone(), action: id, holder };
            match self.try_apply(stored, &offered).await {
                Ok(Some(stored)) => return Ok(Offered::Action(Box::new(Offer { stored, task, action }))),
                // Changed meanwhile: look again.
                Ok(None) | Err(EngineError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Offered::Nothing)
    }

    /// Whether an action of this worker was to end its machine and has done so: its process is back, or its lease ran out
    /// and another process is here. A machine that lost its memory comes back as another process, and nothing but the lease
    /// tells it from a second machine with the same id.
    pub(super) fn has_left(&self, stored: &StoredWorkflow, worker: &WorkerId, caller: &Caller, look: Look) -> bool {
        let holder = stored.workflow.current.as_ref().map_or("", |current| current.holder.as_str());
        let gone =
            if holder == caller.holder() { look == Look::AtArrival } else { !self.leases.is_alive(worker, holder) };
        gone && matches!(next_action(&stored.workflow, worker), Next::Leaving(..))
    }

    /// The process of this worker, other than `caller`, that has begun the task at its turn and is alive.
    pub fn holder_beside<'w>(&self, workflow: &'w Workflow, worker: &WorkerId, caller: &Caller) -> Option<&'w str> {
        let (Next::Action(task, _) | Next::Leaving(task, _)) = next_action(workflow, worker) else { return None };
        let current = workflow.current.as_ref().filter(|_| has_begun(workflow, task, worker))?;
        let other = current.holder != caller.holder() && self.leases.is_alive(worker, &current.holder);
        other.then_some(current.holder.as_str())
    }

    pub(super) fn say_passed_over(&self, worker: &WorkerId, caller: &Caller, holder: &str, address: &str) {
        if self.leases.pass_over(worker, caller, true) {
            tracing::warn!(
                %worker, caller = caller.holder(), caller_address = caller.address(), holder, holder_address = address,
                "two processes call themselves this worker; the second one gets no work while the first one lives"
            );
        }
    }
}

/// The workflow whose turn it is (of those given, oldest first), and the places of its task and action.
fn choose(open: Vec<StoredWorkflow>, worker: &WorkerId) -> Option<(StoredWorkflow, usize, usize)> {
    let mut best: Option<(bool, StoredWorkflow, usize, usize)> = None;
    for stored in open {
        let Next::Action(task, action) = next_action(&stored.workflow, worker) else { continue };
        let begun = has_begun(&stored.workflow, task, worker);
        if best.as_ref().is_some_and(|(best_begun, ..)| *best_begun || !begun) {
            continue;
        }
        let (task_id, action_id) = (&task.id, &action.id);
        let task_at = stored.workflow.tasks.iter().position(|task| task.id == *task_id)?;
        let action_at = stored.workflow.tasks[task_at].actions.iter().position(|action| action.id == *action_id)?;
        best = Some((begun, stored, task_at, action_at));
    }
    best.map(|(_, stored, task, action)| (stored, task, action))
}

/// Whether the worker was given an action of this task before.
fn has_begun(workflow: &Workflow, task: &tink_workflow::Task, worker: &WorkerId) -> bool {
    let given = |current: &tink_workflow::CurrentAction| current.task == task.id && current.worker == *worker;
    workflow.current.as_ref().is_some_and(given)
}
