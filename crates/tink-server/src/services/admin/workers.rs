//! Workers: who was seen, and at what they work.

use std::sync::Arc;

use tink_proto::admin::worker_service_server::WorkerService;
use tink_proto::admin::{ListWorkersRequest, ListWorkersResponse, Worker};
use tink_workflow::{ActionState, WorkerId};
use tonic::{Request, Response, Status};

use super::status;
use crate::engine::Engine;
use crate::services::timestamp::to_wire as time;
use crate::store::{StoreError, StoredWorker};

/// The service.
pub struct Workers {
    engine: Arc<Engine>,
}

impl Workers {
    /// Serves the workers of `engine`.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn describe(&self, worker: StoredWorker) -> Result<Worker, StoreError> {
        let running = self.running(&worker.id).await?;
        let connected = running.is_some() || self.engine.waiters.is_held(&worker.id);
        let (workflow_id, action_name) = running.unwrap_or_default();
        Ok(Worker {
            id: worker.id.into(),
            first_seen: Some(time(worker.first_seen)),
            last_seen: Some(time(worker.last_seen)),
            connected,
            address: worker.address,
            workflow_id,
            action_name,
            attributes_json: worker.attributes_json,
        })
    }

    /// The workflow and action at which a worker works.
    async fn running(&self, worker: &WorkerId) -> Result<Option<(String, String)>, StoreError> {
        let open = self.engine.store.open_workflows_of(worker).await?;
        Ok(open.iter().find_map(|stored| {
            let (_, action) = stored
                .workflow
                .actions()
                .find(|(task, action)| task.worker == *worker && action.state == ActionState::Running)?;
            Some((stored.workflow.id.to_string(), action.spec.name.clone()))
        }))
    }
}

#[tonic::async_trait]
impl WorkerService for Workers {
    async fn list(&self, _: Request<ListWorkersRequest>) -> Result<Response<ListWorkersResponse>, Status> {
        self.engine.flush_presence().await.map_err(status::of_store)?;
        let mut workers = Vec::new();
        for worker in self.engine.store.workers().await.map_err(status::of_store)? {
            workers.push(self.describe(worker).await.map_err(status::of_store)?);
        }
        Ok(Response::new(ListWorkersResponse { workers }))
    }
}
