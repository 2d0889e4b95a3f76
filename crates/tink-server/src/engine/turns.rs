//! Every workflow in which it is a worker's turn, for workers that ask for all at once.

use tink_workflow::{Event, Next, WorkerId, Workflow, next_action};

use super::{Caller, Engine, EngineError, Look};
use crate::store::StoredWorkflow;

/// Workflows told to one worker at once: it works through them one after another, and asks again then.
const TURNS_MAX: usize = 64;

impl Engine {
    /// The workflows in which it is `worker`'s turn, each with its action noted as given out: those it has begun first, then
    /// the oldest. None, while another process of this worker has begun a task and is alive.
    ///
    /// # Errors
    /// [`EngineError::Store`] when that could not be stored.
    pub async fn turns(
        &self,
        worker: &WorkerId,
        caller: &Caller,
        look: Look,
    ) -> Result<Vec<StoredWorkflow>, EngineError> {
        let mut open = self.store.open_workflows_of(worker).await?;
        if open.iter().any(|stored| self.has_left(stored, worker, caller, look)) {
            for left in open {
                if self.has_left(&left, worker, caller, look) {
                    self.try_apply(left, &Event::Returned { worker: worker.clone() }).await?;
                }
            }
            open = self.store.open_workflows_of(worker).await?;
        }
        let open = self.at_turn(open, worker, caller);
        let mut turns = Vec::with_capacity(open.len());
        for stored in open {
            turns.extend(self.give_out(stored, worker, caller).await?);
        }
        Ok(turns)
    }

    /// The same for a process that asks for no work but where it stands, perhaps while an action of it runs: nothing is
    /// given out by that, and nothing has ended.
    ///
    /// # Errors
    /// [`EngineError::Store`] when that could not be read.
    pub async fn standing(&self, worker: &WorkerId, caller: &Caller) -> Result<Vec<StoredWorkflow>, EngineError> {
        let open = self.store.open_workflows_of(worker).await?;
        Ok(self.at_turn(open, worker, caller))
    }

    fn at_turn(&self, mut open: Vec<StoredWorkflow>, worker: &WorkerId, caller: &Caller) -> Vec<StoredWorkflow> {
        if let Some(holder) = open.iter().find_map(|stored| self.holder_beside(&stored.workflow, worker, caller)) {
            let address = self.leases.address(worker, holder);
            self.say_passed_over(worker, caller, holder, &address);
            return Vec::new();
        }
        self.leases.pass_over(worker, caller, false);
        open.retain(|stored| matches!(next_action(&stored.workflow, worker), Next::Action(..)));
        // Stable: the oldest first among equals.
        open.sort_by_key(|stored| !has_begun(&stored.workflow, worker));
        open.truncate(TURNS_MAX);
        open
    }

    /// Notes the action at its turn as given out; none when it is no longer this worker's turn.
    async fn give_out(
        &self,
        mut stored: StoredWorkflow,
        worker: &WorkerId,
        caller: &Caller,
    ) -> Result<Option<StoredWorkflow>, EngineError> {
        for _ in 0..super::ATTEMPTS_MAX {
            let Next::Action(_, action) = next_action(&stored.workflow, worker) else { return Ok(None) };
            let id = stored.workflow.id.clone();
            let offered = Event::Offered {
                worker: worker.clone(),
                action: action.id.clone(),
                holder: caller.holder().to_owned(),
            };
            match self.try_apply(stored, &offered).await {
                Ok(Some(stored)) => return Ok(Some(stored)),
                // Changed meanwhile: look again.
                Ok(None) | Err(EngineError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
            match self.store.workflow(&id).await? {
                Some(now) => stored = now,
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Whether the worker was given an action of this workflow before, or reported one.
fn has_begun(workflow: &Workflow, worker: &WorkerId) -> bool {
    workflow.current.as_ref().is_some_and(|current| current.worker == *worker)
        || workflow.actions().any(|(task, action)| task.worker == *worker && action.started_at.is_some())
}
