//! What an action means, engine by engine the same.

use serde::{Deserialize, Serialize};
use tink_workflow::{ActionId, ImageRef, WorkerId, WorkflowId};

/// Which run of which action a container is: its labels, and the way to recognise leftovers as ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The action.
    pub action: ActionId,
    /// The action's name, for people.
    pub action_name: String,
    /// The worker that runs it.
    pub worker: WorkerId,
    /// Counts the runs of this action on this worker, from 1.
    pub attempt: u32,
    /// What the container is for.
    #[serde(default)]
    pub purpose: Purpose,
}

/// What a container is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The action itself.
    #[default]
    Action,
    /// The `on-timeout` command of a 2021 template.
    OnTimeout,
    /// The `on-failure` command of a 2021 template.
    OnFailure,
    /// Started by a container through the socket that the embedded runtime gave it: it outlives its action.
    Detached,
}

impl Identity {
    /// The container's name: upstream's `tinkerbell_<name>_<id>` with every character outside `[a-zA-Z0-9_.-]`
    /// replaced by `_`, and the attempt and purpose after it where they are not the first run of the action itself.
    #[must_use]
    pub fn container_name(&self) -> String {
        let clean = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' })
                .collect()
        };
        let mut name = format!("tinkerbell_{}_{}", clean(&self.action_name), clean(self.action.as_str()));
        if self.attempt > 1 {
            name.push_str(&format!("_{}", self.attempt));
        }
        match self.purpose {
            Purpose::Action => {}
            Purpose::OnTimeout => name.push_str("_on-timeout"),
            Purpose::OnFailure => name.push_str("_on-failure"),
            Purpose::Detached => name.push_str("_detached"),
        }
        name
    }

    /// Whether it is the same run: the worker's id and the action's name, which may be given anew, do not tell runs apart.
    #[must_use]
    pub fn is_same_run(&self, other: &Self) -> bool {
        let Self { workflow, action, attempt, purpose, action_name: _, worker: _ } = other;
        (&self.workflow, &self.action, &self.attempt, &self.purpose) == (workflow, action, attempt, purpose)
    }

    /// Labels for the container, `org.tinkerbell.*`.
    #[must_use]
    pub fn labels(&self) -> [(&'static str, String); 6] {
        let purpose = match self.purpose {
            Purpose::Action => "action",
            Purpose::OnTimeout => "on-timeout",
            Purpose::OnFailure => "on-failure",
            Purpose::Detached => "detached",
        };
        [
            ("org.tinkerbell.workflow-id", self.workflow.to_string()),
            ("org.tinkerbell.action-id", self.action.to_string()),
            ("org.tinkerbell.action-name", self.action_name.clone()),
            ("org.tinkerbell.worker-id", self.worker.to_string()),
            ("org.tinkerbell.attempt", self.attempt.to_string()),
            ("org.tinkerbell.purpose", purpose.to_owned()),
        ]
    }
}

/// A container to run. Every action is privileged: that is what Tinkerbell's actions are written for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Whose run it is.
    pub identity: Identity,
    /// The image, pulled before.
    pub image: ImageRef,
    /// Arguments to the image's entrypoint (Docker's `CMD`); empty = the image's own.
    pub command: Vec<String>,
    /// `KEY=value`, laid over the image's environment.
    pub environment: Vec<String>,
    /// `source:target[:options]`, Docker's syntax.
    pub volumes: Vec<String>,
    /// `host`, another value the engine knows, or empty for a PID namespace of its own.
    pub pid: String,
    /// `host`, a network the engine knows, or empty for the engine's default.
    pub network: String,
    /// Whether a terminal is given to the program (2021 workers did so unless they captured logs).
    #[serde(default)]
    pub tty: bool,
}

/// An action that asks for nothing special.
#[cfg(test)]
pub(crate) fn action() -> ContainerSpec {
    ContainerSpec {
        identity: identity(),
        image: ImageRef::parse("alpine").unwrap(),
        command: Vec::new(),
        environment: Vec::new(),
        volumes: Vec::new(),
        pid: String::new(),
        network: String::new(),
        tty: false,
    }
}

/// The first run of [`action`].
#[cfg(test)]
pub(crate) fn identity() -> Identity {
    Identity {
        workflow: WorkflowId::parse("default/w").unwrap(),
        action: ActionId::parse("01J").unwrap(),
        action_name: "hello".to_owned(),
        worker: WorkerId::parse("aa:bb").unwrap(),
        attempt: 1,
        purpose: Purpose::Action,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(attempt: u32, purpose: Purpose) -> Identity {
        Identity { action_name: "stream image:1".to_owned(), attempt, purpose, ..super::identity() }
    }

    #[test]
    fn a_run_is_the_same_under_another_name_and_no_other_one_is() {
        let one = identity(1, Purpose::Action);
        assert!(one.is_same_run(&Identity { action_name: "other".to_owned(), ..one.clone() }));
        assert!(!one.is_same_run(&identity(2, Purpose::Action)) && !one.is_same_run(&identity(1, Purpose::Detached)));
    }

    #[test]
    fn the_first_run_has_upstreams_container_name() {
        assert_eq!(identity(1, Purpose::Action).container_name(), "tinkerbell_stream_image_1_01J");
    }

    #[test]
    fn later_runs_and_hooks_have_names_of_their_own() {
        assert_eq!(identity(2, Purpose::Action).container_name(), "tinkerbell_stream_image_1_01J_2");
        assert_eq!(identity(1, Purpose::OnFailure).container_name(), "tinkerbell_stream_image_1_01J_on-failure");
    }
}
