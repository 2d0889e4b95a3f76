//! The state machine: pure, so that the same code is right over every store and in every test.

use tink_mutation::Mutation;

use crate::leaving;
use crate::status::{Action, ActionState, CurrentAction, Task, Timestamp, Workflow, WorkflowState};
use crate::{ActionId, WorkerId};

/// What a worker says of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who says it.
    pub worker: WorkerId,
    /// Of which action.
    pub action: ActionId,
    /// Its state; [`ActionState::Pending`] is refused.
    pub state: ActionState,
    /// Start by the worker's clock.
    pub started_at: Option<Timestamp>,
    /// End by the worker's clock.
    pub stopped_at: Option<Timestamp>,
    /// Duration as the worker wrote it.
    pub duration: String,
    /// What happened, for people.
    pub message: String,
}

/// What can happen to a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker asked for work and is about to get this action (again).
    Offered {
        /// The worker.
        worker: WorkerId,
        /// The action, as [`next_action`] named it.
        action: ActionId,
        /// Which process of the worker gets it; empty where that is not known.
        holder: String,
    },
    /// A worker reports.
    Reported(Report),
    /// A worker says that it is about to start an action that ends the machine, and that the action is a success unless
    /// it says otherwise. The report's state is not looked at.
    Leaving(Report),
    /// A worker asks for work: an action of it that was to end the machine has done so.
    Returned {
        /// The worker.
        worker: WorkerId,
    },
    /// Somebody cancels the workflow.
    Cancelled {
        /// Why, for people.
        reason: String,
    },
    /// Time went by; a workflow past its [`Workflow::deadline`] times out.
    Tick,
}

/// What the caller must do after the new state is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This worker may have work now: wake its held call.
    Wake(WorkerId),
    /// An action changed its state.
    ActionChanged {
        /// The action.
        action: ActionId,
        /// Its state before.
        from: ActionState,
        /// Its state now.
        to: ActionState,
    },
    /// The machine of a running action is about to end.
    ActionLeaves {
        /// The action.
        action: ActionId,
        /// When it is a success, unless something is heard before.
        until: Timestamp,
    },
    /// The workflow changed its state.
    WorkflowChanged {
        /// Its state before.
        from: WorkflowState,
        /// Its state now.
        to: WorkflowState,
    },
}

/// Why an event changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such action here, or not this worker's.
    #[error("workflow has no action {action} for worker {worker}")]
    UnknownAction {
        /// The action.
        action: ActionId,
        /// The worker.
        worker: WorkerId,
    },
    /// The action ended before, with another result; the first result stands.
    #[error("action {action} ended {was}; a later report of {said} changes nothing")]
    Contradiction {
        /// The action.
        action: ActionId,
        /// The result that stands.
        was: ActionState,
        /// The result that was refused.
        said: ActionState,
    },
    /// An action before this one has not succeeded.
    #[error("action {action} is not at its turn: {before} has not succeeded")]
    OutOfOrder {
        /// The action.
        action: ActionId,
        /// The first action that has not succeeded.
        before: ActionId,
    },
    /// The workflow ended; nothing is given out or cancelled any more.
    #[error("workflow ended {was}")]
    Ended {
        /// Its terminal state.
        was: WorkflowState,
    },
    /// Nobody reports PENDING: that is the state before any report.
    #[error("action {action} was reported PENDING, which is not a result; RUNNING, SUCCESS, FAILED or TIMEOUT are")]
    NotAReport {
        /// The action.
        action: ActionId,
    },
}

/// What a worker that asks for work gets of one workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// This action, which may have been given out before.
    Action(&'a Task, &'a Action),
    /// Not now: another worker's task is at its turn.
    NotYours,
    /// Not now: this action of the worker was to end the machine. [`Event::Returned`] says that it has.
    Leaving(&'a Task, &'a Action),
    /// Nothing any more: the workflow ended.
    Ended,
}

/// The action `worker` would get now: the first one that has not succeeded, if it is this worker's.
#[must_use]
pub fn next_action<'a>(workflow: &'a Workflow, worker: &WorkerId) -> Next<'a> {
    if workflow.state.is_terminal() {
        return Next::Ended;
    }
    match turn(workflow) {
        Some((task, action)) if task.worker == *worker && action.leaving_until.is_some() => Next::Leaving(task, action),
        Some((task, action)) if task.worker == *worker => Next::Action(task, action),
        Some(_) => Next::NotYours,
        None => Next::Ended,
    }
}

/// Carries `event` out on `workflow` at the moment `now`.
///
/// An event that repeats what is known returns the workflow as it was and no effects: the same report twice is
/// success both times. Terminal states never change.
///
/// # Errors
/// [`Refusal`] says why an event contradicts the workflow; the caller keeps the old value and records the refusal.
pub fn step(workflow: &Workflow, event: &Event, now: Timestamp) -> Result<(Workflow, Vec<Effect>), Refusal> {
    match event {
        Event::Offered { worker, action, holder } => offered(workflow, worker, action, holder, now),
        Event::Reported(report) => reported(workflow, report, now),
        Event::Leaving(report) => leaving::announced(workflow, report, now),
        Event::Returned { worker } => Ok(leaving::returned(workflow, worker, now)),
        Event::Cancelled { reason } => cancelled(workflow, reason, now),
        Event::Tick => Ok(ticked(workflow, now)),
    }
}

/// The first action that has not succeeded.
pub(crate) fn turn(workflow: &Workflow) -> Option<(&Task, &Action)> {
    workflow.actions().find(|(_, action)| action.state != ActionState::Success)
}

fn offered(
    workflow: &Workflow,
    worker: &WorkerId,
    action: &ActionId,
    holder: &str,
    now: Timestamp,
) -> Result<(Workflow, Vec<Effect>), Refusal> {
    if workflow.state.is_terminal() {
        return Err(Refusal::Ended { was: workflow.state });
    }
    let unknown = || Refusal::UnknownAction { action: action.clone(), worker: worker.clone() };
    let (task, wanted) = workflow.action(action).filter(|(task, _)| task.worker == *worker).ok_or_else(unknown)?;
    match turn(workflow) {
        Some((_, at_turn)) if at_turn.id == wanted.id => {}
        Some((_, at_turn)) => {
            return Err(Refusal::OutOfOrder { action: action.clone(), before: at_turn.id.clone() });
        }
        None => return Err(unknown()),
    }
    let mut next = workflow.clone();
    match &mut next.current {
        Some(current) if current.action == *action => holder.clone_into(&mut current.holder),
        _ => {
            next.current = Some(CurrentAction {
                worker: worker.clone(),
                task: task.id.clone(),
                action: action.clone(),
                offered_at: now,
                holder: holder.to_owned(),
            });
        }
    }
    Ok((next, Vec::new()))
}

fn reported(workflow: &Workflow, report: &Report, now: Timestamp) -> Result<(Workflow, Vec<Effect>), Refusal> {
    if report.state == ActionState::Pending {
        return Err(Refusal::NotAReport { action: report.action.clone() });
    }
    let (task, action) = workflow
        .action(&report.action)
        .filter(|(task, _)| task.worker == report.worker)
        .ok_or_else(|| Refusal::UnknownAction { action: report.action.clone(), worker: report.worker.clone() })?;

    if action.state.is_terminal() && !tink_mutation::is(Mutation::AcceptContradiction) {
        // RUNNING asks for leave to start it: by an offer that was long on its way, or from a second process.
        return if action.state == report.state {
            Ok((workflow.clone(), Vec::new()))
        } else {
            Err(Refusal::Contradiction { action: action.id.clone(), was: action.state, said: report.state })
        };
    }
    if let Some((_, before)) = turn(workflow).filter(|(_, at_turn)| at_turn.id != action.id)
        && !tink_mutation::is(Mutation::AcceptContradiction)
    {
        return Err(Refusal::OutOfOrder { action: action.id.clone(), before: before.id.clone() });
    }
    let from = action.state;
    if from == report.state {
        return Ok((workflow.clone(), Vec::new()));
    }
    // An action may still end after its workflow was cancelled or timed out: what became of it is recorded,
    // the workflow's own state stays. It is never started then.
    if workflow.state.is_terminal()
        && (report.state == ActionState::Running || from == ActionState::Pending)
        && !tink_mutation::is(Mutation::BeginAfterEnd)
    {
        return Err(Refusal::Ended { was: workflow.state });
    }

    let (task_name, action_name) = (task.name.clone(), action.spec.name.clone());
    let (next, effects) = recorded(workflow, report, (&task_name, &action_name), from, now);
    Ok((next, effects))
}

/// The workflow after a report that changes the state of the action at its turn.
pub(crate) fn recorded(
    workflow: &Workflow,
    report: &Report,
    (task_name, action_name): (&str, &str),
    from: ActionState,
    now: Timestamp,
) -> (Workflow, Vec<Effect>) {
    let mut next = workflow.clone();
    record(&mut next, report);
    let mut effects = vec![Effect::ActionChanged { action: report.action.clone(), from, to: report.state }];
    if !workflow.state.is_terminal() {
        next.started_at = next.started_at.or(Some(now));
        let (state, message) = match report.state {
            ActionState::Failed => {
                (WorkflowState::Failed, format!("action {action_name:?} of task {task_name:?} failed"))
            }
            ActionState::Timeout => {
                (WorkflowState::Timeout, format!("action {action_name:?} of task {task_name:?} timed out"))
            }
            ActionState::Success if turn(&next).is_none() => (WorkflowState::Success, String::new()),
            ActionState::Success | ActionState::Running | ActionState::Pending => {
                (WorkflowState::Running, String::new())
            }
        };
        enter(&mut next, state, message, now, &mut effects);
        if report.state == ActionState::Success
            && let Some((task, _)) = turn(&next)
        {
            effects.push(Effect::Wake(task.worker.clone()));
        }
    }
    if next.state.is_terminal() {
        // Another workflow of the same worker may be waiting behind this one.
        effects.push(Effect::Wake(report.worker.clone()));
    }
    (next, effects)
}

fn record(workflow: &mut Workflow, report: &Report) {
    let found = workflow.tasks.iter_mut().flat_map(|task| &mut task.actions).find(|a| a.id == report.action);
    if let Some(action) = found {
        action.state = report.state;
        action.leaving_until = None;
        action.started_at = report.started_at.or(action.started_at);
        action.stopped_at = report.stopped_at.or(action.stopped_at);
        if !report.duration.is_empty() {
            action.duration.clone_from(&report.duration);
        }
        action.message.clone_from(&report.message);
    }
}

fn enter(workflow: &mut Workflow, to: WorkflowState, message: String, now: Timestamp, effects: &mut Vec<Effect>) {
    let from = workflow.state;
    if from == to {
        return;
    }
    workflow.state = to;
    workflow.message = message;
    if to.is_terminal() {
        workflow.stopped_at = Some(now);
    }
    effects.push(Effect::WorkflowChanged { from, to });
}

fn cancelled(workflow: &Workflow, reason: &str, now: Timestamp) -> Result<(Workflow, Vec<Effect>), Refusal> {
    match workflow.state {
        WorkflowState::Cancelled => Ok((workflow.clone(), Vec::new())),
        was if was.is_terminal() => Err(Refusal::Ended { was }),
        _ => {
            let mut next = workflow.clone();
            let mut effects = Vec::new();
            enter(&mut next, WorkflowState::Cancelled, reason.to_owned(), now, &mut effects);
            effects.extend(workers(workflow).map(Effect::Wake));
            Ok((next, effects))
        }
    }
}

fn ticked(workflow: &Workflow, now: Timestamp) -> (Workflow, Vec<Effect>) {
    let (mut next, mut effects) = leaving::ticked(workflow, now);
    if !next.state.is_terminal() && next.time_used_up().is_some_and(|deadline| deadline <= now) {
        let message = format!("the workflow took longer than its global_timeout of {} s", workflow.global_timeout_s);
        enter(&mut next, WorkflowState::Timeout, message, now, &mut effects);
        effects.extend(workers(workflow).map(Effect::Wake));
    }
    (next, effects)
}

/// Every worker of the workflow once.
fn workers(workflow: &Workflow) -> impl Iterator<Item = WorkerId> {
    let mut all: Vec<WorkerId> = workflow.tasks.iter().map(|task| task.worker.clone()).collect();
    all.sort();
    all.dedup();
    all.into_iter()
}
