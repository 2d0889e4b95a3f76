//! Workers of tink v0.9 to v0.12: `proto.WorkflowService` with contexts. See [`super::contexts`] for how they behave.

use std::sync::Arc;
use std::time::Duration;

use tink_proto::v2023::workflow_service_server::WorkflowService;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::contexts::{Contexts, Volumes, WireId, messages};
use crate::engine::Engine;

messages!(tink_proto::v2023);

/// The service.
pub struct Workers(Arc<Contexts>);

impl Workers {
    /// Serves `engine` to workers.
    pub fn new(engine: Arc<Engine>, hold: Duration, stopping: CancellationToken) -> Self {
        Self(Arc::new(Contexts::new(engine, WireId::Slash, Volumes::Appended, hold, stopping)))
    }
}

#[tonic::async_trait]
impl WorkflowService for Workers {
    type GetWorkflowContextsStream = ContextStream;

    async fn get_workflow_contexts(
        &self,
        request: Request<wire::WorkflowContextRequest>,
    ) -> Result<Response<ContextStream>, Status> {
        Ok(stream(Arc::clone(&self.0), request))
    }

    async fn get_workflow_actions(
        &self,
        request: Request<wire::WorkflowActionsRequest>,
    ) -> Result<Response<wire::WorkflowActionList>, Status> {
        let actions = self.0.actions(&request.into_inner().workflow_id).await?;
        Ok(Response::new(wire::WorkflowActionList { action_list: actions.into_iter().map(action).collect() }))
    }

    async fn report_action_status(
        &self,
        request: Request<wire::WorkflowActionStatus>,
    ) -> Result<Response<wire::Empty>, Status> {
        let caller = super::caller_of(&request);
        self.0.report(said(request.into_inner()), &caller).await.map(answer)
    }
}
