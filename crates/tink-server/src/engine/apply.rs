//! One event, applied to the stored workflow.

use std::sync::Arc;

use tink_mutation::Mutation;
use tink_workflow::{
    ActionId, ActionState, CurrentAction, Effect, Event, Next, Refusal, WorkerId, Workflow, WorkflowId, next_action,
    step,
};

use super::{ATTEMPTS_MAX, Caller, Engine, EngineError, Reported, record};
use crate::store::{Put, StoredWorkflow};

impl Engine {
    /// Applies `event` and stores the result; returns the workflow as it is then. An event that says what is known
    /// already stores nothing.
    pub(super) async fn apply(&self, id: &WorkflowId, event: &Event) -> Result<StoredWorkflow, EngineError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(before) = self.store.workflow(id).await? else {
                return Err(EngineError::NoWorkflow(id.clone()));
            };
            if let Some(after) = self.try_apply(before, event).await? {
                return Ok(after);
            }
        }
        Err(EngineError::Contended(id.clone()))
    }

    /// Applies a report that asks leave to start the action, if no other process of the worker has the action and is alive;
    /// the action is then the caller's.
    pub(super) async fn ask_leave(
        &self,
        id: &WorkflowId,
        worker: &WorkerId,
        action: &ActionId,
        event: &Event,
        caller: &Caller,
    ) -> Result<Reported, EngineError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(mut before) = self.store.workflow(id).await? else {
                return Err(EngineError::NoWorkflow(id.clone()));
            };
            if !tink_mutation::is(Mutation::LeaveForAnybody)
                && let Some(holder) = self.holder_beside(&before.workflow, worker, caller)
            {
                return Ok(Reported::Held { holder: holder.to_owned() });
            }
            if matches!(event, Event::Leaving(_)) && is_done_by_another(&before.workflow, action, caller) {
                let (was, said) = (ActionState::Success, ActionState::Running);
                return Err(EngineError::Refused(Refusal::Contradiction { action: action.clone(), was, said }));
            }
            let at_turn =
                matches!(next_action(&before.workflow, worker), Next::Action(_, at_turn) if at_turn.id == *action);
            let theirs = |current: &CurrentAction| current.action == *action && current.holder != caller.holder();
            if at_turn && before.workflow.current.as_ref().is_some_and(theirs) {
                let holder = caller.holder().to_owned();
                let taken = Event::Offered { worker: worker.clone(), action: action.clone(), holder };
                let Some(after) = self.try_apply(before, &taken).await? else { continue };
                before = after;
            }
            if self.try_apply(before, event).await?.is_some() {
                return Ok(Reported::Acknowledged);
            }
        }
        Err(EngineError::Contended(id.clone()))
    }

    /// One attempt; none when somebody else changed the workflow meanwhile.
    pub(super) async fn try_apply(
        &self,
        before: StoredWorkflow,
        event: &Event,
    ) -> Result<Option<StoredWorkflow>, EngineError> {
        let now = self.now();
        let (workflow, effects) = step(&before.workflow, event, now).map_err(EngineError::Refused)?;
        if workflow == before.workflow {
            return Ok(Some(before));
        }
        let events = record::events(&workflow, event, &effects, now);
        if self.store.put_workflow(workflow.clone(), before.version, events).await? == Put::Conflict {
            return Ok(None);
        }
        let after =
            StoredWorkflow { workflow, version: before.version + 1, manifest_json: Arc::clone(&before.manifest_json) };
        if after.workflow.deadline() != before.workflow.deadline() {
            self.deadlines_changed.notify_one();
        }
        self.carry_out(&after, event, &effects);
        Ok(Some(after))
    }

    /// What must follow once the new state is stored.
    fn carry_out(&self, stored: &StoredWorkflow, event: &Event, effects: &[Effect]) {
        record::log(&stored.workflow, event, effects);
        for effect in effects {
            match effect {
                Effect::Wake(worker) => self.waiters.wake(worker),
                Effect::ActionLeaves { .. } => {}
                Effect::ActionChanged { action, to, .. } => {
                    if to.is_terminal()
                        && let Some((_, action)) = stored.workflow.action(action)
                    {
                        self.metrics.action_finished(action);
                    }
                }
                Effect::WorkflowChanged { to, .. } => {
                    if to.is_terminal() {
                        self.metrics.workflow_finished(*to);
                    }
                }
            }
        }
    }

    /// Waits until a deadline may have come nearer.
    pub(super) async fn deadlines_changed(&self) {
        self.deadlines_changed.notified().await;
    }
}

/// Whether an action is a success that somebody else has had than `caller`. An announcement of what is a success already is
/// heard only from the process that has the action: it repeats one whose answer was lost, and the action was not started. From
/// any other process it would start the action a second time.
fn is_done_by_another(workflow: &Workflow, action: &ActionId, caller: &Caller) -> bool {
    let done = workflow.action(action).is_some_and(|(_, action)| action.state == ActionState::Success);
    let own = |current: &CurrentAction| current.action == *action && current.holder == caller.holder();
    done && !workflow.current.as_ref().is_some_and(own)
}
