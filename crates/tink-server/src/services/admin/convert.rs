//! Stored things as messages.

use tink_proto::admin as wire;
use tink_workflow::{Action, Task, WorkflowId};

use crate::services::timestamp::to_wire as time;
use crate::store::{ObjectKind, StoredEvent, StoredObject, StoredWorkflow};

pub fn key(id: &WorkflowId) -> wire::Key {
    wire::Key { namespace: id.namespace().to_owned(), name: id.name().to_owned() }
}

pub fn object(object: StoredObject) -> wire::Object {
    let kind = match object.kind {
        ObjectKind::Hardware => wire::Kind::Hardware,
        ObjectKind::Template => wire::Kind::Template,
    };
    wire::Object {
        kind: kind.into(),
        key: Some(wire::Key { namespace: object.key.namespace, name: object.key.name }),
        json: object.json,
        version: object.version,
        created_at: Some(time(object.created_at)),
        updated_at: Some(time(object.updated_at)),
    }
}

pub fn workflow(stored: &StoredWorkflow) -> wire::Workflow {
    let workflow = &stored.workflow;
    wire::Workflow {
        key: Some(key(&workflow.id)),
        state: workflow.state.to_string(),
        tasks: workflow.tasks.iter().map(task).collect(),
        created_at: Some(time(workflow.created_at)),
        started_at: workflow.started_at.map(time),
        stopped_at: workflow.stopped_at.map(time),
        message: workflow.message.clone(),
        current_action_id: workflow.current.as_ref().map(|current| current.action.to_string()).unwrap_or_default(),
        manifest_json: stored.manifest_json.to_string(),
        version: stored.version,
        global_timeout_s: workflow.global_timeout_s,
    }
}

fn task(task: &Task) -> wire::Task {
    wire::Task {
        id: task.id.to_string(),
        name: task.name.clone(),
        worker_id: task.worker.to_string(),
        actions: task.actions.iter().map(action).collect(),
    }
}

/// Without the environment and the volumes: they hold secrets, and the manifest says where they come from.
fn action(action: &Action) -> wire::Action {
    wire::Action {
        id: action.id.to_string(),
        name: action.spec.name.clone(),
        image: action.spec.image.clone(),
        state: action.state.to_string(),
        started_at: action.started_at.map(time),
        stopped_at: action.stopped_at.map(time),
        duration: action.duration.clone(),
        message: action.message.clone(),
        timeout_s: action.spec.timeout_s,
    }
}

pub fn event(event: &StoredEvent) -> wire::WorkflowEvent {
    wire::WorkflowEvent {
        sequence: event.sequence,
        at: Some(time(event.at)),
        key: Some(key(&event.workflow)),
        kind: event.kind.clone(),
        message: event.message.clone(),
        worker_id: event.worker.clone(),
        action_id: event.action.clone(),
        state: event.state.clone(),
    }
}
