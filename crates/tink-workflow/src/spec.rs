//! What a rendered template asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A rendered template: the wish, before anything has an id or a state.
///
/// Field names and meanings are those of Tinkerbell's template schema (`version`, `name`, `global_timeout`, `tasks`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowSpec {
    /// The schema version as written, usually `0.1`. Not checked, as upstream does not check it.
    #[serde(default)]
    pub version: String,
    /// Name of the workflow, 1 to 199 bytes.
    pub name: String,
    /// Seconds the whole workflow may take from the start of its first action; 0 = no limit.
    #[serde(default)]
    pub global_timeout_s: u64,
    /// Tasks in the order they run.
    pub tasks: Vec<TaskSpec>,
}

/// Actions that one worker runs, one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Name, unique in the workflow, 1 to 199 bytes.
    pub name: String,
    /// The worker (agent) the task is bound to, as the template wrote it.
    pub worker: String,
    /// Volumes of every action of the task, `source:target[:options]`.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Environment of every action of the task; an action's own value wins.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Actions in the order they run.
    pub actions: Vec<ActionSpec>,
}

/// One container to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionSpec {
    /// Name, unique in its task, 1 to 199 bytes.
    pub name: String,
    /// Image reference as written; parses as an [`ImageRef`](crate::ImageRef).
    pub image: String,
    /// Seconds the action may take, pull included; 0 = no limit.
    #[serde(default)]
    pub timeout_s: u64,
    /// Arguments to the image's entrypoint (Docker's `CMD`); empty = the image's own.
    #[serde(default)]
    pub command: Vec<String>,
    /// Arguments of the container that runs after a timeout, in the same image (2021 templates).
    #[serde(default)]
    pub on_timeout: Vec<String>,
    /// Arguments of the container that runs after a failure, in the same image (2021 templates).
    #[serde(default)]
    pub on_failure: Vec<String>,
    /// Volumes, added to the task's.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Environment, laid over the task's.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// PID namespace of older templates (`host`); [`Namespaces::pid`] wins where both are given.
    #[serde(default)]
    pub pid: String,
    /// Namespaces the action shares.
    #[serde(default)]
    pub namespaces: Option<Namespaces>,
    /// Whether the action ends the machine (reboot, kexec, power-off): it is reported before it is started, and its
    /// worker is not expected to come back with a result. A field of our own, which other servers and agents ignore.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_machine: bool,
}

/// Linux namespaces an action shares with the host or with another container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// `host`, a network's name, or empty for the runtime's default.
    #[serde(default)]
    pub network: String,
    /// `host`, `container:<id>`, or empty for a PID namespace of its own.
    #[serde(default)]
    pub pid: String,
}
