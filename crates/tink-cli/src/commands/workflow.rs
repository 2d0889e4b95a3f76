//! Workflows on the server.

use serde_json::{Value, json};
use tink_proto::admin::{
    Action, CancelWorkflowRequest, CreateWorkflowRequest, EventsRequest, Key, ListWorkflowsRequest, Workflow,
    WorkflowEvent,
};

use crate::args::{CreateWorkflow, Format, ListWorkflows, Name, WorkflowCommand};
use crate::client::{Client, key, refused};
use crate::commands::{apply, watch};
use crate::exit::{DONE, Failure};
use crate::output::{self, Table, time};

/// `tink workflow …`.
pub async fn run(client: Client, command: WorkflowCommand, format: Format) -> Result<u8, Failure> {
    match command {
        WorkflowCommand::Create(args) => create(client, args, format).await,
        WorkflowCommand::Get(name) => get(client, &name, format).await,
        WorkflowCommand::List(args) => list(client, args, format).await,
        WorkflowCommand::Watch(args) => watch::run(client, vec![key(&args.name)], args.timeout).await,
        WorkflowCommand::Events(name) => events(client, &name, format).await,
        WorkflowCommand::Cancel(args) => {
            let request = CancelWorkflowRequest { key: Some(key(&args.name)), reason: args.reason };
            let doing = format!("cancel workflow {}", args.name.name);
            let workflow = client.clone().workflows.cancel(request).await.map_err(refused(doing))?.into_inner();
            output::write(format!("workflow {} {}\n", title(&workflow), workflow.state).as_bytes())?;
            Ok(DONE)
        }
        WorkflowCommand::Delete(name) => {
            let doing = format!("delete workflow {}", name.name);
            client.clone().workflows.delete(key(&name)).await.map_err(refused(doing))?;
            output::write(format!("workflow {} deleted\n", name.name).as_bytes())?;
            Ok(DONE)
        }
    }
}

async fn create(client: Client, args: CreateWorkflow, format: Format) -> Result<u8, Failure> {
    let manifests = if args.file.is_empty() {
        let map: serde_json::Map<String, Value> =
            args.set.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
        vec![json!({
            "apiVersion": "tinkerbell.org/v1alpha1",
            "kind": "Workflow",
            "metadata": { "name": args.name, "namespace": args.namespace },
            "spec": {
                "templateRef": args.template,
                "hardwareRef": args.hardware.unwrap_or_default(),
                "hardwareMap": map,
            },
        })]
    } else {
        apply::workflows_only(&crate::load::files(&args.file)?)?
    };
    let mut created = Vec::new();
    for manifest in manifests {
        created.push(send(&client, &manifest).await?);
    }
    if args.watch {
        return watch::run(client, created.into_iter().filter_map(|workflow| workflow.key).collect(), None).await;
    }
    print(&created, true, format)
}

/// Creates the workflow of a manifest on the server; warnings go to stderr.
pub async fn send(client: &Client, manifest: &Value) -> Result<Workflow, Failure> {
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let request = CreateWorkflowRequest { manifest_json: manifest.to_string() };
    let answer = client.clone().workflows.create(request).await.map_err(refused(format!("create workflow {name}")))?;
    let answer = answer.into_inner();
    for warning in &answer.warnings {
        eprintln!("warning: workflow {name}: {warning}");
    }
    Ok(answer.workflow.unwrap_or_default())
}

async fn get(client: Client, name: &Name, format: Format) -> Result<u8, Failure> {
    let doing = format!("get workflow {}", name.name);
    let workflow = client.clone().workflows.get(key(name)).await.map_err(refused(doing))?.into_inner();
    if format != Format::Table {
        return print(&[workflow], true, format);
    }
    output::write(describe(&workflow).as_bytes())?;
    Ok(DONE)
}

async fn list(client: Client, args: ListWorkflows, format: Format) -> Result<u8, Failure> {
    let request = ListWorkflowsRequest {
        namespace: args.scope.namespace.unwrap_or_default(),
        worker_id: args.worker.unwrap_or_default(),
        states: args.state.iter().map(|state| state.to_uppercase()).collect(),
    };
    let found = client.clone().workflows.list(request).await.map_err(refused("list workflows"))?;
    print(&found.into_inner().workflows, false, format)
}

async fn events(client: Client, name: &Name, format: Format) -> Result<u8, Failure> {
    let request = EventsRequest { key: Some(key(name)), after_sequence: 0, limit: 0 };
    let doing = format!("get the events of workflow {}", name.name);
    let events = client.clone().workflows.events(request).await.map_err(refused(doing))?.into_inner().events;
    let values: Vec<Value> = events.iter().map(event_value).collect();
    output::print(format, &values, false, || {
        let mut table = Table::new(&["SEQUENCE", "TIME", "KIND", "STATE", "WORKER", "MESSAGE"]);
        for event in &events {
            table.row([
                event.sequence.to_string(),
                time(event.at.as_ref()),
                event.kind.clone(),
                event.state.clone(),
                event.worker_id.clone(),
                event.message.clone(),
            ]);
        }
        table
    })?;
    Ok(DONE)
}

fn event_value(event: &WorkflowEvent) -> Value {
    json!({
        "sequence": event.sequence,
        "time": time(event.at.as_ref()),
        "workflow": event.key.as_ref().map(|key| format!("{}/{}", key.namespace, key.name)),
        "kind": event.kind,
        "message": event.message,
        "worker": event.worker_id,
        "actionID": event.action_id,
        "state": event.state,
    })
}

/// `namespace/name`, without the namespace where it is the default one.
pub fn title(workflow: &Workflow) -> String {
    let key = workflow.key.clone().unwrap_or_default();
    key_title(&key)
}

/// As [`title`].
pub fn key_title(key: &Key) -> String {
    if key.namespace.is_empty() || key.namespace == "default" {
        key.name.clone()
    } else {
        format!("{}/{}", key.namespace, key.name)
    }
}

/// Every action with its task, in the order they run.
pub fn actions(workflow: &Workflow) -> impl Iterator<Item = (&tink_proto::admin::Task, &Action)> {
    workflow.tasks.iter().flat_map(|task| task.actions.iter().map(move |action| (task, action)))
}

fn print(workflows: &[Workflow], single: bool, format: Format) -> Result<u8, Failure> {
    let values: Vec<Value> = workflows.iter().map(value).collect();
    output::print(format, &values, single, || {
        let mut table = Table::new(&["NAMESPACE", "NAME", "STATE", "ACTIONS", "CURRENT", "WORKER", "AGE", "MESSAGE"]);
        let now = jiff::Timestamp::now();
        for workflow in workflows {
            let done = actions(workflow).filter(|(_, action)| action.state == "SUCCESS").count();
            let current = actions(workflow).find(|(_, action)| action.state != "SUCCESS");
            let key = workflow.key.clone().unwrap_or_default();
            table.row([
                key.namespace,
                key.name,
                workflow.state.clone(),
                format!("{done}/{}", actions(workflow).count()),
                current.map(|(_, action)| action.name.clone()).unwrap_or_default(),
                current.map(|(task, _)| task.worker_id.clone()).unwrap_or_default(),
                output::ago(workflow.created_at.as_ref(), now),
                workflow.message.clone(),
            ]);
        }
        table
    })?;
    Ok(DONE)
}

/// The manifest with the status beside it, shaped as the Kubernetes object.
fn value(workflow: &Workflow) -> Value {
    let mut object: Value = serde_json::from_str(&workflow.manifest_json).unwrap_or_else(|_| json!({}));
    let tasks: Vec<Value> = workflow
        .tasks
        .iter()
        .map(|task| {
            let actions: Vec<Value> = task.actions.iter().map(action_value).collect();
            json!({ "id": task.id, "name": task.name, "agentID": task.worker_id, "actions": actions })
        })
        .collect();
    object["status"] = json!({
        "state": workflow.state,
        "message": workflow.message,
        "globalTimeout": workflow.global_timeout_s,
        "currentActionID": workflow.current_action_id,
        "createdAt": time(workflow.created_at.as_ref()),
        "startedAt": time(workflow.started_at.as_ref()),
        "stoppedAt": time(workflow.stopped_at.as_ref()),
        "tasks": tasks,
    });
    object
}

fn action_value(action: &Action) -> Value {
    json!({
        "id": action.id,
        "name": action.name,
        "image": action.image,
        "timeout": action.timeout_s,
        "state": action.state,
        "executionStart": time(action.started_at.as_ref()),
        "executionStop": time(action.stopped_at.as_ref()),
        "executionDuration": action.duration,
        "message": action.message,
    })
}

/// One workflow for people: every action, and all of what its worker said of those that did not succeed.
fn describe(workflow: &Workflow) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<10} {value}");
        }
    };
    line("Name:", &title(workflow));
    line("State:", &workflow.state);
    line("Message:", &output::one_line(&workflow.message));
    line("Created:", &time(workflow.created_at.as_ref()));
    line("Started:", &time(workflow.started_at.as_ref()));
    line("Stopped:", &time(workflow.stopped_at.as_ref()));
    for task in &workflow.tasks {
        let _ = writeln!(text, "\nTask {} on worker {}", task.name, task.worker_id);
        let width = task.actions.iter().map(|action| action.name.chars().count()).max().unwrap_or(0);
        for action in &task.actions {
            let _ = write!(text, "  {:<8} {:<width$}  {}", action.state, action.name, action.image);
            if !action.duration.is_empty() {
                let _ = write!(text, "  {}", action.duration);
            }
            text.push('\n');
            for said in action.message.lines() {
                let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                let _ = writeln!(text, "           {said}");
            }
        }
    }
    text
}
