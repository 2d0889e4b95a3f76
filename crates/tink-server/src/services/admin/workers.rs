//! Workers: who was seen, and at what they work.

use std::collections::HashMap;
use std::sync::Arc;

use tink_proto::admin::worker_service_server::WorkerService;
use tink_proto::admin::{ListWorkersRequest, ListWorkersResponse, Worker, WorkerInstance, WorkerRequest};
use tink_workflow::{ActionState, WorkerId, WorkflowState};
use tonic::{Request, Response, Status};

use super::status;
use crate::engine::Engine;
use crate::services::timestamp::to_wire as time;
use crate::store::{StoreError, StoredWorker, WorkflowFilter};

/// The service.
pub struct Workers {
    engine: Arc<Engine>,
}

impl Workers {
    /// Serves the workers of `engine`.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// The workflow and action at which each busy worker works.
    async fn busy(&self) -> Result<HashMap<WorkerId, (String, String)>, StoreError> {
        let filter = WorkflowFilter { states: vec![WorkflowState::Running], ..WorkflowFilter::default() };
        let (running, _) = self.engine.store.workflows(&filter).await?;
        let mut busy = HashMap::new();
        for stored in &running {
            let actions = stored.workflow.actions().filter(|(_, action)| action.state == ActionState::Running);
            for (task, action) in actions {
                busy.insert(task.worker.clone(), (stored.workflow.id.to_string(), action.spec.name.clone()));
            }
        }
        Ok(busy)
    }

    fn describe(&self, worker: StoredWorker, busy: &mut HashMap<WorkerId, (String, String)>) -> Worker {
        let works_at = busy.remove(&worker.id);
        let connected = works_at.is_some() || self.engine.waiters.is_held(&worker.id);
        let (workflow_id, action_name) = works_at.unwrap_or_default();
        let instances = self.engine.leases.alive(&worker.id).into_iter().map(|alive| WorkerInstance {
            id: alive.holder,
            address: alive.address,
            last_seen: Some(time(alive.seen_at)),
        });
        Worker {
            instances: instances.collect(),
            id: worker.id.into(),
            first_seen: Some(time(worker.first_seen)),
            last_seen: Some(time(worker.last_seen)),
            connected,
            address: worker.address,
            workflow_id,
            action_name,
            attributes_json: worker.attributes_json,
        }
    }
}

#[tonic::async_trait]
impl WorkerService for Workers {
    async fn list(&self, _: Request<ListWorkersRequest>) -> Result<Response<ListWorkersResponse>, Status> {
        self.engine.flush_presence().await.map_err(status::of_store)?;
        let mut busy = self.busy().await.map_err(status::of_store)?;
        let workers = self.engine.store.workers().await.map_err(status::of_store)?;
        let workers = workers.into_iter().map(|worker| self.describe(worker, &mut busy)).collect();
        Ok(Response::new(ListWorkersResponse { workers }))
    }

    async fn get(&self, request: Request<WorkerRequest>) -> Result<Response<Worker>, Status> {
        let id =
            WorkerId::parse(request.into_inner().id).map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.engine.flush_presence().await.map_err(status::of_store)?;
        let Some(worker) = self.engine.store.worker(&id).await.map_err(status::of_store)? else {
            return Err(Status::not_found(format!("no worker {id} was seen here")));
        };
        let mut busy = self.busy().await.map_err(status::of_store)?;
        Ok(Response::new(self.describe(worker, &mut busy)))
    }
}
