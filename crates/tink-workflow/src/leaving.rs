//! Actions that end their machine: a result that stands unless something else is heard.
//!
//! ```text
//! RUNNING ──Leaving──► RUNNING, leaving_until ──┬── reported FAILED or TIMEOUT ──► FAILED | TIMEOUT
//!                                               ├── reported SUCCESS, the worker asks for work, or the time passes ──► SUCCESS
//! ```
//!
//! The worker starts such an action only after the announcement was acknowledged, so the server never has to guess
//! what became of a machine that is silent: it went away as it was to. An action that could not end its machine has
//! until then to say so.

use jiff::SignedDuration;

use crate::machine::{Effect, Refusal, Report, recorded, turn};
use crate::status::{ActionState, Timestamp, Workflow};
use crate::{Action, Task, WorkerId};

/// How long an action without a limit of its own has to say that its machine did not end.
const PATIENCE_S: u64 = 300;
/// What a limited one gets beyond its limit, for its report to arrive.
const REPORT_MARGIN_S: u64 = 60;

/// A worker is about to end its machine.
pub(crate) fn announced(
    workflow: &Workflow,
    report: &Report,
    now: Timestamp,
) -> Result<(Workflow, Vec<Effect>), Refusal> {
    let (_, action) = workflow
        .action(&report.action)
        .filter(|(task, _)| task.worker == report.worker)
        .ok_or_else(|| Refusal::UnknownAction { action: report.action.clone(), worker: report.worker.clone() })?;
    if action.state == ActionState::Success || action.leaving_until.is_some() {
        return Ok((workflow.clone(), Vec::new()));
    }
    if action.state.is_terminal() {
        let said = ActionState::Success;
        return Err(Refusal::Contradiction { action: action.id.clone(), was: action.state, said });
    }
    if workflow.state.is_terminal() {
        return Err(Refusal::Ended { was: workflow.state });
    }
    if let Some((_, before)) = turn(workflow).filter(|(_, at_turn)| at_turn.id != action.id) {
        return Err(Refusal::OutOfOrder { action: action.id.clone(), before: before.id.clone() });
    }
    let until = until(action, now);
    let (mut next, mut effects) = if action.state == ActionState::Running {
        (workflow.clone(), Vec::new())
    } else {
        crate::step(workflow, &crate::Event::Reported(Report { state: ActionState::Running, ..report.clone() }), now)?
    };
    if let Some(action) = next.tasks.iter_mut().flat_map(|task| &mut task.actions).find(|a| a.id == report.action) {
        action.leaving_until = Some(until);
        action.started_at = report.started_at.or(action.started_at);
        action.message.clone_from(&report.message);
    }
    effects.push(Effect::ActionLeaves { action: report.action.clone(), until });
    Ok((next, effects))
}

/// The worker asks for work, which it does not do while an action of it runs.
pub(crate) fn returned(workflow: &Workflow, worker: &WorkerId, now: Timestamp) -> (Workflow, Vec<Effect>) {
    match leaving(workflow) {
        Some((task, action, _)) if task.worker == *worker => {
            settled(workflow, task, action, "the machine ended, and its worker is back without the action", now)
        }
        _ => (workflow.clone(), Vec::new()),
    }
}

/// Time went by.
pub(crate) fn ticked(workflow: &Workflow, now: Timestamp) -> (Workflow, Vec<Effect>) {
    match leaving(workflow) {
        Some((task, action, until)) if until <= now => {
            settled(workflow, task, action, "the machine was to end, and nothing was heard of it since", now)
        }
        _ => (workflow.clone(), Vec::new()),
    }
}

fn leaving(workflow: &Workflow) -> Option<(&Task, &Action, Timestamp)> {
    let (task, action) = turn(workflow).filter(|_| !workflow.state.is_terminal())?;
    action.leaving_until.map(|until| (task, action, until))
}

fn settled(workflow: &Workflow, task: &Task, action: &Action, why: &str, now: Timestamp) -> (Workflow, Vec<Effect>) {
    let report = Report {
        worker: task.worker.clone(),
        action: action.id.clone(),
        state: ActionState::Success,
        started_at: None,
        stopped_at: Some(now),
        duration: String::new(),
        message: why.to_owned(),
    };
    recorded(workflow, &report, (&task.name, &action.spec.name), action.state, now)
}

fn until(action: &Action, now: Timestamp) -> Timestamp {
    let patience = match action.spec.timeout_s {
        0 => PATIENCE_S,
        limit => limit.saturating_add(REPORT_MARGIN_S),
    };
    let patience = SignedDuration::from_secs(i64::try_from(patience).unwrap_or(i64::MAX));
    now.checked_add(patience).unwrap_or(Timestamp::MAX)
}
