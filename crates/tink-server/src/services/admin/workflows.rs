//! Workflows: create, look, end, follow.

use std::sync::Arc;

use tink_manifest::WorkflowManifest;
use tink_proto::admin::workflow_service_server::WorkflowService;
use tink_proto::admin::{
    CancelWorkflowRequest, CreateWorkflowRequest, CreateWorkflowResponse, Empty, EventsRequest, EventsResponse, Key,
    ListWorkflowsRequest, ListWorkflowsResponse, WatchRequest, Workflow as WireWorkflow,
};
use tink_workflow::{WorkerId, Workflow, WorkflowId, WorkflowState};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use ulid::Ulid;

use super::{References, convert, manifest, references, status, watch};
use crate::engine::Engine;
use crate::services::render;
use crate::store::{EventFilter, ObjectKey, ObjectKind, WorkflowFilter};

/// Events in one answer at most.
const EVENTS_MAX: usize = 10_000;

/// The service.
pub struct Workflows {
    engine: Arc<Engine>,
    /// Whether templates get the objects that their hardware refers to.
    references_allowed: bool,
    stopping: CancellationToken,
}

impl Workflows {
    /// Serves the workflows of `engine`; watches end when the server stops.
    pub fn new(engine: Arc<Engine>, references_allowed: bool, stopping: CancellationToken) -> Self {
        Self { engine, references_allowed, stopping }
    }

    /// Looks an object up that a workflow needs.
    async fn object(&self, kind: ObjectKind, namespace: &str, name: &str) -> Result<String, Status> {
        let key = ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() };
        match self.engine.store.object(kind, &key).await.map_err(status::of_store)? {
            Some(object) => Ok(object.json),
            None => {
                Err(Status::not_found(format!("there is no {kind} {key}; apply it first, or correct the workflow")))
            }
        }
    }

    /// Looks the manifest's template and hardware up, and renders.
    async fn render(&self, wish: WorkflowManifest) -> Result<render::Rendered, Status> {
        let namespace = &wish.metadata.namespace;
        let template = self.object(ObjectKind::Template, namespace, &wish.template_ref).await?;
        let hardware = match wish.hardware_ref.as_str() {
            "" => None,
            name => {
                let json = self.object(ObjectKind::Hardware, namespace, name).await?;
                Some(off_thread(move || Ok(manifest::hardware(&json)?.1)).await?)
            }
        };
        let references = match &hardware {
            Some(hardware) => references::look_up(self.engine.store.as_ref(), hardware, self.references_allowed)
                .await
                .map_err(status::of_store)?,
            None => References::default(),
        };
        let now = self.engine.now();
        let name = wish.template_ref.clone();
        off_thread(move || {
            let (_, template) = manifest::template(&template)?;
            let source = render::Source { name: &name, text: &template.data };
            render::workflow(source, hardware.as_ref(), references, wish.hardware_map, now)
        })
        .await
    }
}

/// Runs `work` on a thread of the blocking pool, not one that serves calls: templates are programs of their authors, and
/// objects can be large.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, manifest::Findings> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| Status::internal("the rendering was interrupted; this is a bug"))?;
    done.map_err(|found| status::findings(&found))
}

fn workflow_id(key: Option<Key>) -> Result<WorkflowId, Status> {
    let key = manifest::key(key).map_err(|found| status::findings(&found))?;
    WorkflowId::new(&key.namespace, &key.name).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// None when the key names no workflow.
fn optional_id(key: Option<Key>) -> Result<Option<WorkflowId>, Status> {
    match key {
        Some(key) if !key.name.is_empty() => workflow_id(Some(key)).map(Some),
        _ => Ok(None),
    }
}

fn state(word: &str) -> Result<WorkflowState, Status> {
    use WorkflowState::{Cancelled, Failed, Pending, Running, Success, Timeout};
    let all = [Pending, Running, Success, Failed, Timeout, Cancelled];
    all.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(word)).ok_or_else(|| {
        let allowed = all.map(WorkflowState::as_str).join(", ");
        Status::invalid_argument(format!("states: {word:?} is no state of a workflow; allowed: {allowed}"))
    })
}

#[tonic::async_trait]
impl WorkflowService for Workflows {
    async fn create(
        &self,
        request: Request<CreateWorkflowRequest>,
    ) -> Result<Response<CreateWorkflowResponse>, Status> {
        let manifest_json = request.into_inner().manifest_json;
        let (key, wish, mut warnings) = manifest::workflow(&manifest_json).map_err(|found| status::findings(&found))?;
        let id = WorkflowId::new(&key.namespace, &key.name)
            .map_err(|error| Status::invalid_argument(format!("metadata.name: {error}")))?;
        let template = wish.template_ref.clone();
        let rendered = self.render(wish).await?;
        let workflow = Workflow::from_spec(id, &rendered.spec, self.engine.now(), || Ulid::new().to_string())
            .map_err(|error| Status::invalid_argument(format!("template {template}: {error}")))?;
        let stored = self.engine.create(workflow, manifest_json).await.map_err(status::of_engine)?;
        warnings.extend(rendered.warnings);
        Ok(Response::new(CreateWorkflowResponse { workflow: Some(convert::workflow(&stored)), warnings }))
    }

    async fn get(&self, request: Request<Key>) -> Result<Response<WireWorkflow>, Status> {
        let id = workflow_id(Some(request.into_inner()))?;
        match self.engine.store.workflow(&id).await.map_err(status::of_store)? {
            Some(stored) => Ok(Response::new(convert::workflow(&stored))),
            None => Err(Status::not_found(format!("there is no workflow {id}"))),
        }
    }

    async fn list(&self, request: Request<ListWorkflowsRequest>) -> Result<Response<ListWorkflowsResponse>, Status> {
        let request = request.into_inner();
        let worker = match request.worker_id.as_str() {
            "" => None,
            id => Some(WorkerId::parse(id).map_err(|error| Status::invalid_argument(error.to_string()))?),
        };
        let filter = WorkflowFilter {
            id: None,
            namespace: Some(request.namespace).filter(|namespace| !namespace.is_empty()),
            worker,
            states: request.states.iter().map(|word| state(word)).collect::<Result<_, _>>()?,
        };
        let (workflows, _) = self.engine.store.workflows(&filter).await.map_err(status::of_store)?;
        Ok(Response::new(ListWorkflowsResponse { workflows: workflows.iter().map(convert::workflow).collect() }))
    }

    async fn cancel(&self, request: Request<CancelWorkflowRequest>) -> Result<Response<WireWorkflow>, Status> {
        let request = request.into_inner();
        let id = workflow_id(request.key)?;
        let reason = match crate::cut(&request.reason, 1024) {
            "" => "cancelled by an administrator".to_owned(),
            reason => reason.to_owned(),
        };
        let stored = self.engine.cancel(&id, reason).await.map_err(status::of_engine)?;
        Ok(Response::new(convert::workflow(&stored)))
    }

    async fn delete(&self, request: Request<Key>) -> Result<Response<Empty>, Status> {
        let id = workflow_id(Some(request.into_inner()))?;
        self.engine.delete(&id).await.map_err(status::of_engine)?;
        Ok(Response::new(Empty {}))
    }

    async fn events(&self, request: Request<EventsRequest>) -> Result<Response<EventsResponse>, Status> {
        let request = request.into_inner();
        let limit = match usize::try_from(request.limit) {
            Ok(limit @ 1..EVENTS_MAX) => limit,
            _ => EVENTS_MAX,
        };
        let filter =
            EventFilter { workflow: optional_id(request.key)?, after: request.after_sequence, limit, newest: true };
        let page = self.engine.store.events(&filter).await.map_err(status::of_store)?;
        Ok(Response::new(EventsResponse { events: page.events.iter().map(convert::event).collect() }))
    }

    type WatchStream = watch::WatchStream;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let id = optional_id(request.key)?;
        watch::start(Arc::clone(&self.engine), id, request.after_sequence, self.stopping.clone())
            .await
            .map(Response::new)
    }
}
