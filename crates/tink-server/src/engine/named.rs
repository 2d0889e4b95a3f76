//! Reports by the names of task and action, from workers that know no ids.

use std::time::Duration;

use jiff::SignedDuration;
use tink_workflow::{Action, ActionState, Report, Task, Timestamp, Workflow, WorkflowId, human_duration};

use super::{Caller, Engine, EngineError, Reported};

/// What such a worker says. It has no clock on the wire: times are the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedReport {
    /// The task's name.
    pub task: String,
    /// The action's name.
    pub action: String,
    /// Its state.
    pub state: ActionState,
    /// How long it took, 0 when it began.
    pub seconds: u64,
    /// What happened, for people.
    pub message: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// As a report by ids.
    Reported(Reported),
    /// The workflow has no task of that name.
    NoSuchTask,
    /// The task has no action of that name.
    NoSuchAction,
    /// No worker was told of this workflow yet: the report is of an earlier one with the same name.
    NotGivenOut,
}

impl Engine {
    /// Takes a report by names. Names are unique: of tasks in a workflow, of actions in a task.
    ///
    /// # Errors
    /// As [`Engine::report`].
    pub async fn report_named(
        &self,
        id: &WorkflowId,
        said: NamedReport,
        caller: &Caller,
    ) -> Result<Named, EngineError> {
        let Some(stored) = self.store.workflow(id).await? else {
            tracing::warn!(workflow = %id, task = said.task, action = said.action, said = %said.state,
                "report of a workflow that is not here");
            self.metrics.reports_refused.inc();
            return Err(EngineError::NoWorkflow(id.clone()));
        };
        let (task, action) = match find(&stored.workflow, &said) {
            Ok(found) => found,
            Err(missing) => {
                tracing::warn!(workflow = %id, task = said.task, action = said.action, said = %said.state, ?missing,
                    "report refused");
                self.metrics.reports_refused.inc();
                return Ok(missing);
            }
        };
        self.leases.note(&task.worker, caller, self.now());
        let report = to_report(task, action, said, self.now());
        self.report(id, report, caller).await.map(Named::Reported)
    }
}

fn find<'a>(workflow: &'a Workflow, said: &NamedReport) -> Result<(&'a Task, &'a Action), Named> {
    let task = workflow.tasks.iter().find(|task| task.name == said.task).ok_or(Named::NoSuchTask)?;
    let action = task.actions.iter().find(|action| action.spec.name == said.action).ok_or(Named::NoSuchAction)?;
    if workflow.current.is_none() && !workflow.state.is_terminal() {
        return Err(Named::NotGivenOut);
    }
    Ok((task, action))
}

fn to_report(task: &Task, action: &Action, said: NamedReport, now: Timestamp) -> Report {
    let ended = said.state.is_terminal();
    let seconds = i64::try_from(said.seconds).unwrap_or(i64::MAX);
    let began = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(now);
    let started_at = match (ended, action.started_at) {
        // The worker measured it; that is nearer than when its reports came.
        (true, _) => Some(began),
        (false, known) => known.or(Some(now)),
    };
    Report {
        worker: task.worker.clone(),
        action: action.id.clone(),
        state: said.state,
        started_at,
        stopped_at: ended.then_some(now),
        duration: if ended { duration(said.seconds) } else { String::new() },
        message: said.message,
    }
}

/// Workers of 2021 count whole seconds: an action that took less than one took `0s`.
fn duration(seconds: u64) -> String {
    if seconds == 0 { "0s".to_owned() } else { human_duration(Duration::from_secs(seconds)) }
}
