//! A workflow of this process, shown as one of a server.

use tink_proto::admin;
use tink_workflow::{Timestamp, Workflow};

/// The workflow in the administrators' form.
pub fn view(workflow: &Workflow) -> admin::Workflow {
    admin::Workflow {
        key: Some(admin::Key { namespace: workflow.id.namespace().to_owned(), name: workflow.id.name().to_owned() }),
        state: workflow.state.to_string(),
        tasks: workflow.tasks.iter().map(task).collect(),
        created_at: time(Some(workflow.created_at)),
        started_at: time(workflow.started_at),
        stopped_at: time(workflow.stopped_at),
        message: workflow.message.clone(),
        current_action_id: workflow.current.as_ref().map(|current| current.action.to_string()).unwrap_or_default(),
        manifest_json: String::new(),
        version: 0,
        global_timeout_s: workflow.global_timeout_s,
    }
}

fn task(task: &tink_workflow::Task) -> admin::Task {
    admin::Task {
        id: task.id.to_string(),
        name: task.name.clone(),
        worker_id: task.worker.to_string(),
        actions: task.actions.iter().map(action).collect(),
    }
}

fn action(action: &tink_workflow::Action) -> admin::Action {
    admin::Action {
        id: action.id.to_string(),
        name: action.spec.name.clone(),
        image: action.spec.image.clone(),
        state: action.state.to_string(),
        started_at: time(action.started_at),
        stopped_at: time(action.stopped_at),
        duration: action.duration.clone(),
        message: action.message.clone(),
        timeout_s: action.spec.timeout_s,
    }
}

fn time(at: Option<Timestamp>) -> Option<prost_types::Timestamp> {
    at.map(|at| prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
}
