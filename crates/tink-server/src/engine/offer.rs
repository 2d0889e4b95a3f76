//! Which action a worker gets.

use tink_workflow::{Event, Next, WorkerId, Workflow, next_action};

use super::{ATTEMPTS_MAX, Engine, EngineError};
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

impl Engine {
    /// The action that `worker` gets now, if any.
    ///
    /// Workflows that ended never hide others. Of several, the one at which the worker has begun comes first, then the
    /// oldest: a worker finishes one workflow before it starts the next, also over a restart of either side.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the offer could not be stored.
    pub async fn offer(&self, worker: &WorkerId) -> Result<Option<Offer>, EngineError> {
        for _ in 0..ATTEMPTS_MAX {
            let open = self.store.open_workflows_of(worker).await?;
            if let Some(left) = open.iter().find(|stored| has_left(stored, worker)).cloned() {
                self.try_apply(left, &Event::Returned { worker: worker.clone() }).await?;
                continue;
            }
            let Some((stored, task, action)) = choose(open, worker) else { return Ok(None) };
            let id = stored.workflow.tasks[task].actions[action].id.clone();
            let offered = Event::Offered { worker: worker.clone(), action: id };
            match self.try_apply(stored, &offered).await {
                Ok(Some(stored)) => return Ok(Some(Offer { stored, task, action })),
                // Changed meanwhile: look again.
                Ok(None) | Err(EngineError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Whether the worker was to end its machine. It asks for work, so it has, and is back.
pub(super) fn has_left(stored: &StoredWorkflow, worker: &WorkerId) -> bool {
    matches!(next_action(&stored.workflow, worker), Next::Leaving(..))
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
