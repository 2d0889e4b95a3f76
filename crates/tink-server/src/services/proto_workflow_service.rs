//! `proto.WorkflowService`: the one name under which two generations of workers call.
//!
//! | call | generation |
//! |---|---|
//! | GetAction | 2025 |
//! | GetWorkflowContexts, GetWorkflowActions | 2023 |
//! | ReportActionStatus | either, told by its bytes ([`StatusReport`]) |

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tink_proto::v2023::workflow_service_server::{WorkflowService as _, WorkflowServiceServer as ServerOf2023};
use tink_proto::v2025::workflow_service_server::{
    SERVICE_NAME, WorkflowService as _, WorkflowServiceServer as ServerOf2025,
};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tower::Service;

use super::status_report::{StatusReport, StatusReportCodec};
use super::{v2023, v2025};

const REPORT_ACTION_STATUS: &str = "/proto.WorkflowService/ReportActionStatus";
const GET_ACTION: &str = "/proto.WorkflowService/GetAction";

/// Passes each call on to its generation.
#[derive(Clone)]
pub struct ProtoWorkflowService {
    agents: Arc<v2025::Agents>,
    workers: Arc<v2023::Workers>,
    message_bytes_max: usize,
}

impl ProtoWorkflowService {
    /// Serves both; messages of more bytes are refused.
    pub fn new(agents: v2025::Agents, workers: v2023::Workers, message_bytes_max: usize) -> Self {
        Self { agents: Arc::new(agents), workers: Arc::new(workers), message_bytes_max }
    }
}

impl NamedService for ProtoWorkflowService {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for ProtoWorkflowService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let max = self.message_bytes_max;
        match request.uri().path() {
            REPORT_ACTION_STATUS => {
                let reports = Reports { agents: Arc::clone(&self.agents), workers: Arc::clone(&self.workers) };
                Box::pin(async move {
                    let mut grpc = Grpc::new(StatusReportCodec).apply_max_message_size_config(Some(max), None);
                    Ok(grpc.unary(reports, request).await)
                })
            }
            GET_ACTION => ServerOf2025::from_arc(Arc::clone(&self.agents)).max_decoding_message_size(max).call(request),
            // What neither generation has is UNIMPLEMENTED: by that a worker finds out which one a server speaks.
            _ => ServerOf2023::from_arc(Arc::clone(&self.workers)).max_decoding_message_size(max).call(request),
        }
    }
}

/// ReportActionStatus of both generations.
struct Reports {
    agents: Arc<v2025::Agents>,
    workers: Arc<v2023::Workers>,
}

impl UnaryService<StatusReport> for Reports {
    type Response = ();
    type Future = Pin<Box<dyn Future<Output = Result<Response<()>, Status>> + Send>>;

    fn call(&mut self, request: Request<StatusReport>) -> Self::Future {
        let (metadata, extensions, report) = request.into_parts();
        match report {
            StatusReport::V2025(report) => {
                let agents = Arc::clone(&self.agents);
                Box::pin(async move {
                    let request = Request::from_parts(metadata, extensions, report);
                    agents.report_action_status(request).await.map(|response| response.map(drop))
                })
            }
            StatusReport::V2023(report) => {
                let workers = Arc::clone(&self.workers);
                Box::pin(async move {
                    let request = Request::from_parts(metadata, extensions, report);
                    workers.report_action_status(request).await.map(|response| response.map(drop))
                })
            }
        }
    }
}
