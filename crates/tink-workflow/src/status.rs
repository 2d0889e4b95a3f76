//! What a workflow is while it runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ActionId, ActionSpec, Namespaces, TaskId, WorkerId, WorkflowId, WorkflowSpec};

/// A moment, UTC.
pub type Timestamp = jiff::Timestamp;

/// ```text
///            ┌────────────┐   report    ┌──────────────────┐
/// PENDING ──►│  RUNNING   │────────────►│ SUCCESS │ FAILED │ TIMEOUT   (terminal: never left)
///            └────────────┘             └──────────────────┘
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActionState {
    /// Not yet started, or given out and not yet reported.
    #[default]
    Pending,
    /// A worker said that it runs.
    Running,
    /// It ended with exit code 0.
    Success,
    /// It ended otherwise, or could not be started.
    Failed,
    /// It was stopped because its time was used up.
    Timeout,
}

impl ActionState {
    /// Whether the state is never left.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Success | Self::Failed | Self::Timeout => true,
        }
    }

    /// The word of the protocol, `PENDING`, `RUNNING`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
        }
    }
}

impl fmt::Display for ActionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// ```text
/// PENDING ──► RUNNING ──► SUCCESS | FAILED | TIMEOUT
///    └───────────┴──────► CANCELLED
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkflowState {
    /// No action was started.
    #[default]
    Pending,
    /// An action was started and the end is open.
    Running,
    /// Every action succeeded.
    Success,
    /// An action failed.
    Failed,
    /// An action, or the whole workflow, took too long.
    Timeout,
    /// Somebody stopped it.
    Cancelled,
}

impl WorkflowState {
    /// Whether the state is never left.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Success | Self::Failed | Self::Timeout | Self::Cancelled => true,
        }
    }

    /// The word people see, `PENDING`, `RUNNING`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for WorkflowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A workflow with ids and states. [`crate::step`] is the only way it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// `namespace/name`.
    pub id: WorkflowId,
    /// Where it stands.
    pub state: WorkflowState,
    /// Seconds the whole workflow may take from its first RUNNING report; 0 = no limit.
    pub global_timeout_s: u64,
    /// Tasks in the order they run.
    pub tasks: Vec<Task>,
    /// The action that was given out last.
    #[serde(default)]
    pub current: Option<CurrentAction>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the first action was reported RUNNING.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it reached a terminal state.
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
    /// Why it is in its state, for people; empty when there is nothing to say.
    #[serde(default)]
    pub message: String,
}

/// The action that was given out last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentAction {
    /// The worker that got it.
    pub worker: WorkerId,
    /// Its task.
    pub task: TaskId,
    /// The action.
    pub action: ActionId,
    /// When it was given out first.
    pub offered_at: Timestamp,
    /// Which process of the worker has it; empty where that is not known.
    #[serde(default)]
    pub holder: String,
}

/// Actions that one worker runs, one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Fresh for every workflow.
    pub id: TaskId,
    /// Name as the template gives it.
    pub name: String,
    /// The only worker that gets its actions.
    pub worker: WorkerId,
    /// Volumes of every action.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Environment of every action.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Actions in the order they run.
    pub actions: Vec<Action>,
}

/// One action and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Fresh for every workflow.
    pub id: ActionId,
    /// What was asked for.
    pub spec: ActionSpec,
    /// Where it stands.
    pub state: ActionState,
    /// When its worker started it, by the worker's clock.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended, by the worker's clock.
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
    /// How long it took, as the worker wrote it (`1m3s`).
    #[serde(default)]
    pub duration: String,
    /// What the worker said: exit code, signal, last lines of output, pull error.
    #[serde(default)]
    pub message: String,
    /// Its worker is about to end the machine and said so: unless it says otherwise, the action is a success at this
    /// moment, or as soon as the worker asks for work again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving_until: Option<Timestamp>,
}

impl Action {
    /// The PID namespace in force: `namespaces.pid` where given, else the older `pid`.
    #[must_use]
    pub fn pid(&self) -> &str {
        match &self.spec.namespaces {
            Some(Namespaces { pid, .. }) if !pid.is_empty() => pid,
            _ => &self.spec.pid,
        }
    }
}

impl Task {
    /// Volumes of an action: the task's, then its own.
    #[must_use]
    pub fn volumes_of(&self, action: &Action) -> Vec<String> {
        self.volumes.iter().chain(&action.spec.volumes).cloned().collect()
    }

    /// Environment of an action: the task's overlaid by its own, `KEY=value`, sorted by key.
    #[must_use]
    pub fn environment_of(&self, action: &Action) -> Vec<String> {
        let mut all = self.environment.clone();
        all.extend(action.spec.environment.clone());
        all.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }
}

impl Workflow {
    /// Gives every task and action of `spec` an id from `fresh_id`; everything is PENDING.
    ///
    /// A workflow without a single action is created SUCCESS: there is nothing to wait for.
    ///
    /// # Errors
    /// An id that breaks the rules of [`WorkerId`], [`TaskId`] or [`ActionId`].
    pub fn from_spec(
        id: WorkflowId,
        spec: &WorkflowSpec,
        now: Timestamp,
        mut fresh_id: impl FnMut() -> String,
    ) -> Result<Self, crate::IdError> {
        let mut tasks = Vec::with_capacity(spec.tasks.len());
        for task in &spec.tasks {
            let task_id = TaskId::parse(fresh_id())?;
            let mut actions = Vec::with_capacity(task.actions.len());
            for action in &task.actions {
                actions.push(Action {
                    id: ActionId::parse(fresh_id())?,
                    spec: action.clone(),
                    state: ActionState::Pending,
                    started_at: None,
                    stopped_at: None,
                    duration: String::new(),
                    message: String::new(),
                    leaving_until: None,
                });
            }
            tasks.push(Task {
                id: task_id,
                name: task.name.clone(),
                worker: WorkerId::parse(task.worker.clone())?,
                volumes: task.volumes.clone(),
                environment: task.environment.clone(),
                actions,
            });
        }
        let empty = tasks.iter().all(|task| task.actions.is_empty());
        Ok(Self {
            id,
            state: if empty { WorkflowState::Success } else { WorkflowState::Pending },
            global_timeout_s: spec.global_timeout_s,
            tasks,
            current: None,
            created_at: now,
            started_at: None,
            stopped_at: empty.then_some(now),
            message: if empty { "the workflow has no action".to_owned() } else { String::new() },
        })
    }

    /// Every action with its task, in the order they run.
    pub fn actions(&self) -> impl Iterator<Item = (&Task, &Action)> {
        self.tasks.iter().flat_map(|task| task.actions.iter().map(move |action| (task, action)))
    }

    /// The action with this id, with its task.
    #[must_use]
    pub fn action(&self, id: &ActionId) -> Option<(&Task, &Action)> {
        self.actions().find(|(_, action)| action.id == *id)
    }

    /// When [`Event::Tick`](crate::Event::Tick) has something to do: the whole workflow's time is used up, or an action
    /// whose machine was to end is a success.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let leaving = self.actions().filter_map(|(_, action)| action.leaving_until);
        leaving.chain(self.time_used_up()).min()
    }

    /// When the whole workflow's time is used up, if it has a limit and has started.
    pub(crate) fn time_used_up(&self) -> Option<Timestamp> {
        if self.global_timeout_s == 0 {
            return None;
        }
        let limit = i64::try_from(self.global_timeout_s).ok()?;
        self.started_at?.checked_add(jiff::SignedDuration::from_secs(limit)).ok()
    }
}
