//! Today's wire: `proto.WorkflowService` with GetAction and ReportActionStatus.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use prost_types::Timestamp as WireTimestamp;
use tink_proto::v2025::action_status_request::StateType;
use tink_proto::v2025::workflow_service_client::WorkflowServiceClient;
use tink_proto::v2025::{ActionMessage, ActionRequest, ActionResponse, ActionStatusRequest};
use tink_workflow::{ActionId, ActionState, TaskId, Timestamp, WorkerId, WorkflowId};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::connect::Connection;
use super::instance::{self, Instance};
use super::{GrpcError, GrpcSettings, Hardware, Target, status};
use crate::assignment::Begun;
use crate::transport::{Ack, Next, Transport, TransportError};
use crate::{Assignment, Report};

/// Go's zero time, which upstream's agents send for a time that is not known: 0001-01-01T00:00:00Z.
const GO_ZERO_TIME: WireTimestamp = WireTimestamp { seconds: -62_135_596_800, nanos: 0 };

/// Longest message in a report: servers take 4 MiB in all, Kubernetes objects 1.5 MiB.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// A server that speaks today's wire, behind a gRPC service that is a channel but in simulation.
#[derive(Debug)]
pub struct Transport2025<S = Channel> {
    client: WorkflowServiceClient<S>,
    target: Target,
    worker: WorkerId,
    instance: Instance,
    hardware: Option<Hardware>,
    next_timeout: Duration,
    report_timeout: Duration,
}

impl Transport2025 {
    /// Makes the transport; nothing is connected before the first call.
    ///
    /// # Errors
    /// [`GrpcError`] when the settings cannot be used.
    pub fn new(settings: &GrpcSettings, worker: WorkerId) -> Result<Self, GrpcError> {
        Ok(Self::over(&Connection::new(settings)?, settings, worker))
    }

    pub(super) fn over(connection: &Connection, settings: &GrpcSettings, worker: WorkerId) -> Self {
        Self::through(connection.channel.clone(), connection.target.clone(), settings, worker)
    }
}

impl<S> Transport2025<S>
where
    S: GrpcService<Body>,
    S::Error: Into<StdError>,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// The transport over a service of the caller's.
    ///
    /// # Errors
    /// [`GrpcError`] when the settings name no server.
    #[cfg(feature = "simulation")]
    pub fn over_service(service: S, settings: &GrpcSettings, worker: WorkerId) -> Result<Self, GrpcError> {
        Ok(Self::through(service, Target::parse(&settings.server)?, settings, worker))
    }

    fn through(service: S, target: Target, settings: &GrpcSettings, worker: WorkerId) -> Self {
        Self {
            client: WorkflowServiceClient::new(service),
            target,
            worker,
            instance: Instance::new(&settings.instance),
            hardware: settings.hardware.clone(),
            next_timeout: settings.next_timeout,
            report_timeout: settings.report_timeout,
        }
    }

    /// The deadline is ours alone and not sent: a server that sees one may answer earlier than it has to.
    async fn call<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Result<Response<T>, Status>, TransportError> {
        match timeout(limit, call).await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(TransportError::Unreachable {
                server: self.target.to_string(),
                reason: format!("no answer within {} s", limit.as_secs()),
            }),
        }
    }
}

#[async_trait]
impl<S> Transport for Transport2025<S>
where
    S: GrpcService<Body> + Clone + Send + Sync + fmt::Debug + 'static,
    S::Future: Send,
    S::Error: Into<StdError>,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    async fn next(&self) -> Result<Next, TransportError> {
        let agent_attributes = match &self.hardware {
            Some(hardware) => hardware.message().await,
            None => None,
        };
        let request = ActionRequest { agent_id: Some(self.worker.to_string()), agent_attributes };
        let mut client = self.client.clone();
        match self.call(self.next_timeout, client.get_action(self.instance.sign(request))).await? {
            Ok(response) => {
                self.instance.hear(None);
                let lease_s = instance::lease_s(response.metadata());
                assignment(response.into_inner(), &self.worker)
                    .map(|assignment| Next::Action(Box::new(Assignment { lease_s, ..assignment })))
                    .map_err(|reason| TransportError::Garbage { server: self.target.to_string(), reason })
            }
            Err(refusal) if status::means_no_work(&refusal) => {
                self.instance.hear(Some(refusal.metadata()));
                Ok(Next::Nothing)
            }
            Err(failure) => Err(status::error(&failure, &self.target)),
        }
    }

    async fn report(&self, report: &Report) -> Result<Ack, TransportError> {
        let mut client = self.client.clone();
        match self.call(self.report_timeout, client.report_action_status(self.instance.sign(request(report)))).await? {
            Ok(answer) => Ok(status::acknowledged(answer.metadata())),
            Err(refusal) if status::refuses_report(report, &refusal) => {
                Ok(Ack::Refused(format!("{:?}: {}", refusal.code(), refusal.message())))
            }
            Err(failure) => Err(status::error(&failure, &self.target)),
        }
    }
}

fn assignment(response: ActionResponse, worker: &WorkerId) -> Result<Assignment, String> {
    let workflow = response.workflow_id.unwrap_or_default();
    let namespaces = response.namespaces.unwrap_or_default();
    let pid = namespaces.pid.filter(|pid| !pid.is_empty()).or(response.pid).unwrap_or_default();
    Ok(Assignment {
        workflow: WorkflowId::parse(workflow).map_err(|error| error.to_string())?,
        task: TaskId::parse(response.task_id.unwrap_or_default()).map_err(|error| error.to_string())?,
        action: ActionId::parse(response.action_id.unwrap_or_default()).map_err(|error| error.to_string())?,
        // Reports are matched against the id the action was given to; upstream's server sends ours back.
        worker: match response.agent_id {
            Some(agent) if !agent.is_empty() => WorkerId::parse(agent).map_err(|error| error.to_string())?,
            _ => worker.clone(),
        },
        name: response.name.unwrap_or_default(),
        image: response.image.unwrap_or_default(),
        // A negative limit is none.
        timeout_s: u64::try_from(response.timeout.unwrap_or_default()).unwrap_or(0),
        command: response.command,
        environment: response.environment,
        volumes: response.volumes,
        pid,
        network: namespaces.network.unwrap_or_default(),
        tty: false,
        on_timeout: Vec::new(),
        on_failure: Vec::new(),
        ends_machine: response.ends_machine.unwrap_or_default(),
        lease_s: 0,
        begun: Begun::Unknown,
    })
}

fn request(report: &Report) -> ActionStatusRequest {
    let state = match report.state {
        ActionState::Pending => StateType::Pending,
        ActionState::Running => StateType::Running,
        ActionState::Success => StateType::Success,
        ActionState::Failed => StateType::Failed,
        ActionState::Timeout => StateType::Timeout,
    };
    let mut message = report.message.clone();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    ActionStatusRequest {
        workflow_id: Some(report.workflow.to_string()),
        agent_id: Some(report.worker.to_string()),
        task_id: Some(report.task.to_string()),
        action_id: Some(report.action.to_string()),
        action_name: Some(report.action_name.clone()),
        action_state: Some(state.into()),
        execution_start: Some(wire_time(report.started_at)),
        execution_stop: Some(wire_time(report.stopped_at)),
        execution_duration: Some(report.duration.clone()),
        message: Some(ActionMessage { message: Some(message) }),
        leaving: report.leaving.then_some(true),
    }
}

fn wire_time(time: Option<Timestamp>) -> WireTimestamp {
    time.map_or(GO_ZERO_TIME, |time| {
        // Nanoseconds count forward from the second, also before 1970.
        let (mut seconds, mut nanos) = (time.as_second(), time.subsec_nanosecond());
        if nanos < 0 {
            (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
        }
        WireTimestamp { seconds, nanos }
    })
}

#[cfg(test)]
mod tests;
