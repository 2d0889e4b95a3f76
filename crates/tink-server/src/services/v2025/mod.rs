//! Today's agents: `proto.WorkflowService` as tinkerbell/tinkerbell serves it.
//!
//! # Which status an agent gets
//! Today's Go agent takes NOT_FOUND, INVALID_ARGUMENT and FAILED_PRECONDITION in answer to the report of a *result* as
//! final and ends its process with exit code 0; any other code it repeats for ever. In answer to a RUNNING report every
//! error only makes it ask for work again. In answer to GetAction it is silent on FAILED_PRECONDITION and logs everything
//! else. So:
//!
//! - **GetAction** without work is FAILED_PRECONDITION with the PreconditionFailure detail, never NOT_FOUND: an idle
//!   machine does not fill its log. So is a call that is held when the server stops.
//! - **RUNNING** asks leave. It is refused where the action must not run: NOT_FOUND for a workflow or action that is not
//!   there (deleted), FAILED_PRECONDITION when its workflow ended or it is not at its turn.
//! - **A result** only tells. It is acknowledged whatever the server makes of it, so that a healthy agent lives: a
//!   contradicting or late one changes nothing and is kept as an event `refused`, and one for a workflow that is not here
//!   (deleted, or lost with the server's data) is dropped. The answer's metadata `tink-refused` says so to those who look.
//! - Failures of the store are UNAVAILABLE: every agent repeats the call.

mod attributes;
mod get_action;
mod report;

use std::sync::Arc;
use std::time::Duration;

use tink_proto::v2025::workflow_service_server::WorkflowService;
use tink_proto::v2025::{ActionRequest, ActionResponse, ActionStatusRequest, ActionStatusResponse};
use tink_workflow::IdError;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::failure;
use crate::engine::Engine;

/// The service.
pub struct Agents {
    engine: Arc<Engine>,
    /// How long a GetAction without work is held.
    hold: Duration,
    /// Ends held calls.
    stopping: CancellationToken,
}

impl Agents {
    /// Serves `engine` to agents.
    pub fn new(engine: Arc<Engine>, hold: Duration, stopping: CancellationToken) -> Self {
        Self { engine, hold, stopping }
    }
}

#[tonic::async_trait]
impl WorkflowService for Agents {
    async fn get_action(&self, request: Request<ActionRequest>) -> Result<Response<ActionResponse>, Status> {
        let mut response = Response::new(get_action::serve(self, request).await?);
        super::note_lease(response.metadata_mut(), self.engine.leases.lease());
        Ok(response)
    }

    async fn report_action_status(
        &self,
        request: Request<ActionStatusRequest>,
    ) -> Result<Response<ActionStatusResponse>, Status> {
        self.engine.metrics.reports.inc();
        report::serve(self, request).await
    }
}

fn invalid_id(error: IdError) -> Status {
    Status::invalid_argument(error.to_string())
}
