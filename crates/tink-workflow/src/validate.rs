//! When a rendered template is a workflow: the rules upstream's `template_validator` applies, plus [`Limits`].

use std::collections::BTreeSet;
use std::fmt;

use crate::{ImageRef, Limits, WorkflowSpec};

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A key of a mapping.
    Key(&'static str),
    /// A place in a list, from 0.
    Index(usize),
}

/// Where in the rendered YAML a value stands, as `tasks[0].actions[2].image`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(pub Vec<Segment>);

impl FieldPath {
    fn of(segments: &[Segment]) -> Self {
        Self(segments.to_vec())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if nth == 0 => write!(f, "{key}")?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(at) => write!(f, "[{at}]")?,
            }
        }
        Ok(())
    }
}

/// A rule that a rendered template breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {found}; allowed: {allowed}")]
pub struct Invalid {
    /// Which value.
    pub field: FieldPath,
    /// What was found there.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

/// Checks `spec` against upstream's rules and `limits`, and returns every rule it breaks, in file order.
///
/// Upstream's rules (tinkerbell `template_validator.go`): names of 1 to 199 bytes, at least one task, task names unique,
/// action names unique in their task, images that parse as Docker references, a worker for every task.
#[must_use]
pub fn validate(spec: &WorkflowSpec, limits: &Limits) -> Vec<Invalid> {
    let mut all = Vec::new();
    name(&mut all, &[Segment::Key("name")], &spec.name, limits);
    if spec.tasks.is_empty() {
        all.push(invalid(&[Segment::Key("tasks")], "no task", "at least one task"));
    }
    if spec.tasks.len() > limits.tasks_max {
        let found = format!("{} tasks", spec.tasks.len());
        all.push(invalid(&[Segment::Key("tasks")], found, format!("at most {}", limits.tasks_max)));
    }
    let mut task_names = BTreeSet::new();
    for (nth, task) in spec.tasks.iter().enumerate() {
        let at = [Segment::Key("tasks"), Segment::Index(nth)];
        let field = |key| [&at[..], &[Segment::Key(key)]].concat();
        name(&mut all, &field("name"), &task.name, limits);
        if !task_names.insert(task.name.as_str()) {
            all.push(invalid(&field("name"), format!("a second task named {:?}", task.name), "task names are unique"));
        }
        if task.worker.is_empty() {
            all.push(invalid(
                &field("worker"),
                "no worker after rendering",
                "the id of the worker that runs the task, often `{{.device_1}}` with that key in the hardware map",
            ));
        }
        if task.actions.len() > limits.actions_per_task_max {
            let found = format!("{} actions", task.actions.len());
            all.push(invalid(&field("actions"), found, format!("at most {} a task", limits.actions_per_task_max)));
        }
        let mut action_names = BTreeSet::new();
        for (nth, action) in task.actions.iter().enumerate() {
            let at = [&at[..], &[Segment::Key("actions"), Segment::Index(nth)]].concat();
            let field = |key| [&at[..], &[Segment::Key(key)]].concat();
            name(&mut all, &field("name"), &action.name, limits);
            if !action_names.insert(action.name.as_str()) {
                let found = format!("a second action named {:?} in task {:?}", action.name, task.name);
                all.push(invalid(&field("name"), found, "action names are unique in their task"));
            }
            if let Err(error) = ImageRef::parse(&action.image) {
                let found = format!("{:?} is no image reference: {error}", action.image);
                all.push(invalid(&field("image"), found, "[registry[:port]/]repository[:tag][@digest]"));
            }
        }
    }
    all
}

fn name(all: &mut Vec<Invalid>, at: &[Segment], name: &str, limits: &Limits) {
    if name.is_empty() {
        all.push(invalid(at, "no name", format!("1 to {} bytes", limits.name_bytes_max)));
    } else if name.len() > limits.name_bytes_max {
        all.push(invalid(at, format!("{} bytes", name.len()), format!("1 to {} bytes", limits.name_bytes_max)));
    }
}

fn invalid(at: &[Segment], found: impl Into<String>, allowed: impl Into<String>) -> Invalid {
    Invalid { field: FieldPath::of(at), found: found.into(), allowed: allowed.into() }
}
