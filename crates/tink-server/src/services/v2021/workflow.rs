//! Workflows of the 2021 wire, for people: create, look, delete, history.

use serde_json::{Map, Value, json};
use tink_proto::v2021::template::{GetRequest as TemplateRequest, get_request::GetBy};
use tink_proto::v2021::workflow::{CreateRequest, Workflow as Wire, WorkflowActionStatus, WorkflowContext};
use tink_workflow::{ActionState, Workflow, WorkflowId};
use tonic::Status;
use ulid::Ulid;

use super::{Api, annotation, of_store, rendered, resolve, uid};
use crate::engine::EngineError;
use crate::services::contexts::{DEFAULT_NAMESPACE, State};
use crate::services::{failure, render, timestamp};
use crate::store::{EventFilter, ObjectKey, ObjectKind, StoredEvent, StoredWorkflow, WorkflowFilter};

/// The template's id, in the workflow's manifest.
const TEMPLATE: &str = "tink.tinkerbell.org/template-id";
/// The JSON the workflow was created with.
const HARDWARE: &str = "tink.tinkerbell.org/hardware";
/// Events in one answer at most.
const EVENTS_MAX: usize = 10_000;

impl Api {
    /// Renders a template with the devices of `hardware`, a JSON object, and stores the workflow; returns its id.
    pub async fn create_workflow(&self, request: CreateRequest) -> Result<String, Status> {
        let template = self.template(TemplateRequest { get_by: Some(GetBy::Id(request.template.clone())) }).await?;
        let devices: Map<String, Value> = serde_json::from_str(&request.hardware).map_err(|error| {
            Status::invalid_argument(format!(
                "the hardware is no JSON object of template keys, such as {{\"device_1\": \"08:00:27:00:00:01\"}}: {error}"
            ))
        })?;
        let now = self.engine.now();
        let (name, text, map) = (template.message.name.clone(), template.message.data, devices.clone());
        let work = move || render::devices(render::Source { name: &name, text: &text }, map, now);
        let rendered = tokio::task::spawn_blocking(work).await;
        let rendered = rendered.map_err(|_| Status::internal("the rendering was interrupted; this is a bug"))?;
        let mut spec = rendered.map_err(|found| Status::invalid_argument(found.join("\n")))?.spec;
        let hardware = self.objects(ObjectKind::Hardware).await?;
        for task in &mut spec.tasks {
            task.worker = resolve::worker(&task.worker, &hardware)?;
        }
        let name = uid::fresh();
        let invalid = |error: tink_workflow::IdError| Status::invalid_argument(error.to_string());
        let id = WorkflowId::new(DEFAULT_NAMESPACE, &name).map_err(invalid)?;
        let workflow = Workflow::from_spec(id, &spec, now, || Ulid::new().to_string()).map_err(invalid)?;
        let manifest = json!({
            "apiVersion": "tinkerbell.org/v1alpha1",
            "kind": "Workflow",
            "metadata": {
                "name": name,
                "namespace": DEFAULT_NAMESPACE,
                "annotations": {TEMPLATE: template.message.id, HARDWARE: request.hardware},
            },
            "spec": {"templateRef": template.key.name, "hardwareMap": hardware_map(devices)},
        });
        let created = self.engine.create(workflow, manifest.to_string()).await;
        created.map_err(|error| failure("CreateWorkflow", &error))?;
        Ok(name)
    }

    /// A workflow with its rendered template.
    pub async fn workflow(&self, id: &str) -> Result<Wire, Status> {
        let id = self.workflow_id(id).await?;
        match self.engine.store.workflow(&id).await.map_err(of_store)? {
            Some(stored) => Ok(Wire { data: rendered::yaml(&stored.workflow), ..self.to_wire(&stored) }),
            None => Err(Status::not_found(format!("Workflow with id {id} does not exist"))),
        }
    }

    /// Every workflow, without its template.
    pub async fn workflows(&self) -> Result<Vec<Wire>, Status> {
        let (all, _) = self.engine.store.workflows(&WorkflowFilter::default()).await.map_err(of_store)?;
        Ok(all.iter().map(|stored| self.to_wire(stored)).collect())
    }

    /// Deletes a workflow in any state.
    pub async fn delete_workflow(&self, id: &str) -> Result<(), Status> {
        let id = self.workflow_id(id).await?;
        self.engine.delete(&id).await.map_err(|error| match error {
            EngineError::NoWorkflow(id) => Status::not_found(format!("not found, id:{id}")),
            other => failure("DeleteWorkflow", &other),
        })
    }

    /// Where a workflow stands, for people.
    pub async fn workflow_context(&self, id: &str) -> Result<WorkflowContext, Status> {
        let id = self.workflow_id(id).await?;
        self.contexts.of_workflow(id.as_str()).await.map(super::grpc::context)
    }

    /// What workers reported of a workflow, oldest first.
    pub async fn workflow_events(&self, id: &str) -> Result<Vec<WorkflowActionStatus>, Status> {
        let id = self.workflow_id(id).await?;
        let Some(stored) = self.engine.store.workflow(&id).await.map_err(of_store)? else {
            return Err(Status::not_found(format!("Workflow with id {id} does not exist")));
        };
        let filter = EventFilter { workflow: Some(id), after: 0, limit: EVENTS_MAX, newest: true };
        let page = self.engine.store.events(&filter).await.map_err(of_store)?;
        Ok(page.events.iter().filter_map(|event| to_status(event, &stored.workflow)).collect())
    }

    /// The workflow that a text names: its id as workers know it, or the UUID that follows from it.
    pub async fn workflow_id(&self, text: &str) -> Result<WorkflowId, Status> {
        let id = self.contexts.ids().parse(text)?;
        let wanted = text.to_ascii_lowercase();
        if !uid::is_uuid(&wanted) || self.engine.store.workflow(&id).await.map_err(of_store)?.is_some() {
            return Ok(id);
        }
        let (all, _) = self.engine.store.workflows(&WorkflowFilter::default()).await.map_err(of_store)?;
        let named = all.into_iter().find(|stored| uid::of("Workflow", &key_of(&stored.workflow.id)) == wanted);
        Ok(named.map_or(id, |stored| stored.workflow.id))
    }

    fn to_wire(&self, stored: &StoredWorkflow) -> Wire {
        let workflow = &stored.workflow;
        let manifest: Value = serde_json::from_str(&stored.manifest_json).unwrap_or_default();
        let template = match annotation(&manifest, TEMPLATE) {
            "" => {
                let name = manifest.pointer("/spec/templateRef").and_then(Value::as_str).unwrap_or_default();
                let key = ObjectKey { namespace: workflow.id.namespace().to_owned(), name: name.to_owned() };
                uid::of("Template", &key)
            }
            id => id.to_owned(),
        };
        let hardware = match annotation(&manifest, HARDWARE) {
            "" => manifest.pointer("/spec/hardwareMap").map_or_else(|| "{}".to_owned(), Value::to_string),
            json => json.to_owned(),
        };
        let updated_at = workflow.stopped_at.or(workflow.started_at).unwrap_or(workflow.created_at);
        Wire {
            id: self.contexts.ids().text(&workflow.id),
            template,
            hardware,
            state: State::of_workflow(workflow.state) as i32,
            created_at: Some(timestamp::to_wire(workflow.created_at)),
            updated_at: Some(timestamp::to_wire(updated_at)),
            deleted_at: None,
            data: String::new(),
        }
    }
}

/// The name of a workflow as that of an object.
pub fn key_of(id: &WorkflowId) -> ObjectKey {
    ObjectKey { namespace: id.namespace().to_owned(), name: id.name().to_owned() }
}

/// As manifests hold them: texts.
fn hardware_map(devices: Map<String, Value>) -> Map<String, Value> {
    let text = |value| match value {
        text @ Value::String(_) => text,
        other => Value::String(other.to_string()),
    };
    devices.into_iter().map(|(key, value)| (key, text(value))).collect()
}

/// A report of a worker; none for events that are none, and for actions of an earlier workflow of the same name.
fn to_status(event: &StoredEvent, workflow: &Workflow) -> Option<WorkflowActionStatus> {
    if event.kind != "action" {
        return None;
    }
    let (task, action) = workflow.actions().find(|(_, action)| action.id.as_str() == event.action)?;
    let state = [ActionState::Running, ActionState::Success, ActionState::Failed, ActionState::Timeout]
        .into_iter()
        .find(|state| state.as_str() == event.state)?;
    let took = action.started_at.zip(action.stopped_at).filter(|_| state.is_terminal());
    let seconds = took.map_or(0, |(from, to)| to.duration_since(from).as_secs().max(0));
    Some(WorkflowActionStatus {
        workflow_id: String::new(),
        task_name: task.name.clone(),
        action_name: action.spec.name.clone(),
        action_status: State::of_action(state) as i32,
        seconds,
        // The event says more, for people who look at it alone.
        message: event.message.split_once(&format!("{state}: ")).map(|(_, said)| said.to_owned()).unwrap_or_default(),
        created_at: Some(timestamp::to_wire(event.at)),
        worker_id: event.worker.clone(),
    })
}
