//! What the worker was asked to run.

use serde::{Deserialize, Serialize};
use tink_workflow::{ActionId, TaskId, WorkerId, WorkflowId};

/// One action, as a transport received it. What the journal stores first.
///
/// Ids are parsed; the image is text still, because an action with a bad image must be reported as failed and not be
/// refused silently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The task.
    pub task: TaskId,
    /// The action; with the workflow it is the assignment's identity.
    pub action: ActionId,
    /// The worker it was given to.
    pub worker: WorkerId,
    /// The action's name, for people.
    pub name: String,
    /// The image reference as written.
    pub image: String,
    /// Seconds the action may take, pull included; 0 = no limit.
    #[serde(default)]
    pub timeout_s: u64,
    /// Arguments to the image's entrypoint; empty = the image's own.
    #[serde(default)]
    pub command: Vec<String>,
    /// `KEY=value`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// `source:target[:options]`.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// PID namespace: `host`, another value the engine knows, or empty.
    #[serde(default)]
    pub pid: String,
    /// Network namespace: `host`, a network the engine knows, or empty.
    #[serde(default)]
    pub network: String,
    /// Whether the program gets a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Arguments of the container that runs after a timeout (2021 templates).
    #[serde(default)]
    pub on_timeout: Vec<String>,
    /// Arguments of the container that runs after a failure (2021 templates).
    #[serde(default)]
    pub on_failure: Vec<String>,
    /// The template says that the action ends the machine; see [`Assignment::leaves`].
    #[serde(default)]
    pub ends_machine: bool,
    /// Seconds after which the server may give the action to another process of this worker when it hears nothing of this
    /// one; 0 = it did not say so.
    #[serde(default)]
    pub lease_s: u64,
    /// What the server said of the action when it gave it out.
    #[serde(skip)]
    pub begun: Begun,
}

/// Whether a server that gives an action out knows of a run of it.
///
/// Wires without ids say so; it is the only thing that tells an action from one of a workflow that was deleted and
/// created again under the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begun {
    /// The wire does not say, and its ids are never used twice.
    #[default]
    Unknown,
    /// Nobody has reported that it runs.
    No,
    /// It was reported that it runs.
    Yes,
}

impl Assignment {
    /// Whether `other` is the same action of the same workflow.
    #[must_use]
    pub fn is_same_action(&self, workflow: &WorkflowId, action: &ActionId) -> bool {
        self.workflow == *workflow && self.action == *action
    }
}
