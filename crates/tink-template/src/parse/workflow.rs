//! The template schema: `version`, `name`, `global_timeout`, `tasks`, their actions.

use tink_workflow::{ActionSpec, Namespaces, TaskSpec, WorkflowSpec};
use tink_yaml::Node;

use super::lint;
use super::reader::Reader;

const ARGUMENTS: &str = "a list such as [\"--flag\", \"value\"]";
const VOLUMES: &str = "a list such as [\"/dev:/dev\", \"/lib/firmware:/lib/firmware:ro\"]";

/// Reads the root of a template.
pub(super) fn read(reader: &mut Reader<'_>, root: &Node) -> WorkflowSpec {
    if !reader.is_mapping(root, "", "a mapping with `name` and `tasks`") {
        return WorkflowSpec::default();
    }
    let tasks = reader.list(root.get("tasks"), "tasks", "a list of tasks");
    let spec = WorkflowSpec {
        version: reader.text(root.get("version"), "version"),
        name: reader.text(root.get("name"), "name"),
        global_timeout_s: reader.seconds(root.get("global_timeout"), "global_timeout"),
        tasks: tasks.iter().enumerate().map(|(nth, node)| task(reader, node, &format!("tasks[{nth}]"))).collect(),
    };
    // Accepted and unused, as upstream does.
    reader.text(root.get("id"), "id");
    lint::workflow(reader, root, &spec);
    spec
}

fn task(reader: &mut Reader<'_>, node: &Node, at: &str) -> TaskSpec {
    if !reader.is_mapping(node, at, "a mapping with `name`, `worker` and `actions`") {
        return TaskSpec::default();
    }
    let actions_at = format!("{at}.actions");
    let actions = reader.list(node.get("actions"), &actions_at, "a list of actions");
    let task = TaskSpec {
        name: reader.text(node.get("name"), &format!("{at}.name")),
        worker: reader.text(node.get("worker"), &format!("{at}.worker")),
        volumes: reader.texts(node.get("volumes"), &format!("{at}.volumes"), VOLUMES),
        environment: reader.text_map(node.get("environment"), &format!("{at}.environment")),
        actions: actions
            .iter()
            .enumerate()
            .map(|(nth, node)| action(reader, node, &format!("{actions_at}[{nth}]")))
            .collect(),
    };
    lint::task(reader, node, at, &task);
    task
}

fn action(reader: &mut Reader<'_>, node: &Node, at: &str) -> ActionSpec {
    if !reader.is_mapping(node, at, "a mapping with `name` and `image`") {
        return ActionSpec::default();
    }
    let action = ActionSpec {
        name: reader.text(node.get("name"), &format!("{at}.name")),
        image: reader.text(node.get("image"), &format!("{at}.image")),
        timeout_s: reader.seconds(node.get("timeout"), &format!("{at}.timeout")),
        command: reader.texts(node.get("command"), &format!("{at}.command"), ARGUMENTS),
        on_timeout: reader.texts(node.get("on-timeout"), &format!("{at}.on-timeout"), ARGUMENTS),
        on_failure: reader.texts(node.get("on-failure"), &format!("{at}.on-failure"), ARGUMENTS),
        volumes: reader.texts(node.get("volumes"), &format!("{at}.volumes"), VOLUMES),
        environment: reader.text_map(node.get("environment"), &format!("{at}.environment")),
        pid: reader.text(node.get("pid"), &format!("{at}.pid")),
        namespaces: namespaces(reader, node.get("namespaces"), &format!("{at}.namespaces")),
        ends_machine: reader.truth(node.get("ends_machine"), &format!("{at}.ends_machine")),
    };
    lint::action(reader, node, at, &action);
    action
}

fn namespaces(reader: &mut Reader<'_>, node: Option<&Node>, at: &str) -> Option<Namespaces> {
    let node = node.filter(|node| !node.is_null())?;
    if !reader.is_mapping(node, at, "a mapping with `network` and `pid`") {
        return None;
    }
    lint::unknown_keys(reader, node, at, &["network", "pid"], &[]);
    Some(Namespaces {
        network: reader.text(node.get("network"), &format!("{at}.network")),
        pid: reader.text(node.get("pid"), &format!("{at}.pid")),
    })
}
