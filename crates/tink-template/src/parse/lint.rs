//! What upstream lets pass, but its author hardly means: keys and the shape of tasks and actions.

use tink_workflow::{ActionSpec, TaskSpec, WorkflowSpec};
use tink_yaml::Node;

use super::lint_values;
use super::reader::Reader;
use crate::advice;

const WORKFLOW_KEYS: &[&str] = &["version", "name", "id", "global_timeout", "tasks"];
const TASK_KEYS: &[&str] = &["name", "worker", "actions", "volumes", "environment"];
const ACTION_KEYS: &[&str] = &[
    "name",
    "image",
    "timeout",
    "command",
    "on-timeout",
    "on-failure",
    "volumes",
    "environment",
    "pid",
    "namespaces",
    "ends_machine",
];

/// Keys of other schemas, and what takes their place here.
const TASK_HINTS: &[(&str, &str)] = &[
    ("agent", "the worker is named by `worker`"),
    ("agentID", "the worker is named by `worker`"),
    ("worker_id", "the worker is named by `worker`"),
    ("env", "did you mean `environment`?"),
    ("timeout", "only actions (`timeout`) and the workflow (`global_timeout`) have one"),
];
const ACTION_HINTS: &[(&str, &str)] = &[
    ("args", "arguments of the image's entrypoint go into `command`"),
    ("cmd", "did you mean `command`? It holds the arguments of the image's entrypoint"),
    ("entrypoint", "the entrypoint is the image's own; `command` holds its arguments"),
    ("retries", "an action of this schema runs once"),
    ("if", "actions of this schema have no conditions; use `{{ if … }}` in the template"),
    ("background", "`ends_machine: true` is for an action that ends the machine; all others run one after another"),
    ("env", "did you mean `environment`?"),
    ("timeoutSeconds", "did you mean `timeout`?"),
    ("network", "did you mean `namespaces: {network: …}`?"),
];

pub(super) fn workflow(reader: &mut Reader<'_>, root: &Node, spec: &WorkflowSpec) {
    unknown_keys(reader, root, "", WORKFLOW_KEYS, &[("timeout", "did you mean `global_timeout`?")]);
    if spec.global_timeout_s == 0 && !reader.has_error_within("global_timeout") {
        let node = root.get("global_timeout").unwrap_or(root);
        reader.warn(
            node,
            "global_timeout",
            "0 or absent: the workflow may take for ever; upstream's controller instead times it out soon after its first action",
        );
    }
    if spec.version != "0.1" && !reader.has_error_within("version") {
        let node = root.get("version").unwrap_or(root);
        let message = format!("{:?} is not checked, but servers up to tink v0.10.0 take only \"0.1\"", spec.version);
        reader.warn(node, "version", message);
    }
}

pub(super) fn task(reader: &mut Reader<'_>, node: &Node, at: &str, task: &TaskSpec) {
    unknown_keys(reader, node, at, TASK_KEYS, TASK_HINTS);
    let actions_at = format!("{at}.actions");
    if task.actions.is_empty() && !reader.has_error_within(&actions_at) {
        reader.warn(node.get("actions").unwrap_or(node), &actions_at, "the task has no actions and does nothing");
    }
    lint_values::volumes(reader, node, at);
    lint_values::environment(reader, node, at);
}

pub(super) fn action(reader: &mut Reader<'_>, node: &Node, at: &str, action: &ActionSpec) {
    unknown_keys(reader, node, at, ACTION_KEYS, ACTION_HINTS);
    let timeout_at = format!("{at}.timeout");
    if action.timeout_s == 0 && !reader.has_error_within(&timeout_at) {
        reader.warn(
            node.get("timeout").unwrap_or(node),
            &timeout_at,
            "0 or absent: the action may take for ever; upstream's agent instead times it out at once",
        );
    }
    for key in ["on-timeout", "on-failure"] {
        if let Some(hook) = node.get(key).filter(|hook| !hook.items().is_empty()) {
            let message = "today's upstream server ignores it; it runs with this server and those of 2021";
            reader.warn(hook, &format!("{at}.{key}"), message);
        }
    }
    let named = |key: &str| node.get("namespaces").and_then(|namespaces| namespaces.get(key));
    if let (Some(pid), Some(namespaces)) = (node.get("pid"), &action.namespaces)
        && named("pid").is_some()
        && namespaces.pid != action.pid
    {
        let message = format!("{:?} is overruled by namespaces.pid {:?}", action.pid, namespaces.pid);
        reader.warn(pid, &format!("{at}.pid"), message);
    }
    lint_values::image(reader, node, at, action);
    lint_values::volumes(reader, node, at);
    lint_values::environment(reader, node, at);
}

/// Warns of keys that the schema does not know and upstream ignores.
pub(super) fn unknown_keys(reader: &mut Reader<'_>, node: &Node, at: &str, known: &[&str], hints: &[(&str, &str)]) {
    for (key, _) in node.entries() {
        let Some(name) = key.text() else {
            let message = format!("found {} as a key; allowed: {}", key.describe(), known.join(", "));
            reader.error_at((key.line, key.column), at, message);
            continue;
        };
        if name.is_empty() && key.is_null() {
            let message = format!("found `:` without a key before it; allowed: {}", known.join(", "));
            reader.error_at((key.line, key.column), at, message);
            continue;
        }
        if known.contains(&name) {
            continue;
        }
        let field = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let hint = match (hints.iter().find(|(key, _)| *key == name), advice::nearest(name, known.iter().copied())) {
            (Some((_, hint)), _) => format!("; {hint}"),
            (None, Some(near)) => format!("; did you mean `{near}`?"),
            (None, None) => format!("; known keys: {}", known.join(", ")),
        };
        reader.warn(key, &field, format!("unknown key, ignored{hint}"));
    }
}
