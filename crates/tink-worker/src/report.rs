//! What the worker says of an action.

use serde::{Deserialize, Serialize};
use tink_workflow::{ActionId, ActionState, TaskId, Timestamp, WorkerId, WorkflowId};

use crate::Assignment;

/// What is reported of an action; a result is stored as it is sent, so that it is repeated word for word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The task.
    pub task: TaskId,
    /// The action.
    pub action: ActionId,
    /// The action's name.
    pub action_name: String,
    /// Who reports.
    pub worker: WorkerId,
    /// The action's state.
    pub state: ActionState,
    /// Start of the run, pull included, by the worker's clock.
    pub started_at: Option<Timestamp>,
    /// End of the run, by the worker's clock.
    pub stopped_at: Option<Timestamp>,
    /// How long it took, as [`human_duration`](crate::human_duration) writes it.
    pub duration: String,
    /// What happened, for people.
    pub message: String,
    /// With [`ActionState::Success`]: the action is about to be started and to end the machine, and is a success unless
    /// something else is reported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

impl Report {
    /// Whether it asks leave to start the action, and does not tell how it ended.
    #[must_use]
    pub fn asks_leave(&self) -> bool {
        self.leaving || self.state == ActionState::Running
    }

    /// The report that must be acknowledged before an action is started.
    ///
    /// It carries no times: a start time here makes today's upstream controller start the clock of the whole workflow
    /// at once, and with a `global_timeout` of 0 or none that clock ends the workflow while its first action runs.
    #[must_use]
    pub fn running(assignment: &Assignment, message: impl Into<String>) -> Self {
        Self {
            workflow: assignment.workflow.clone(),
            task: assignment.task.clone(),
            action: assignment.action.clone(),
            action_name: assignment.name.clone(),
            worker: assignment.worker.clone(),
            state: ActionState::Running,
            started_at: None,
            stopped_at: None,
            duration: String::new(),
            message: message.into(),
            leaving: false,
        }
    }
}
