//! The wire of tink v0.9 to v0.12: `proto.WorkflowService` with contexts, action lists and status reports.

use async_trait::async_trait;
use tink_proto::v2023::workflow_service_client::WorkflowServiceClient;
use tink_workflow::WorkerId;
use tonic::Status;
use tonic::transport::Channel;

use super::connect::Connection;
use super::instance::{self, Instance};
use super::polling::{Hold, Polling, Streamed, Wire, WireAction, WireContext, WireStatus};
use super::polling_wire::polling_messages;
use super::{GrpcError, GrpcSettings, status};
use crate::Report;
use crate::transport::{Ack, Next, Transport, TransportError};

polling_messages!(tink_proto::v2023);

/// A server that speaks the wire of 2023.
#[derive(Debug)]
pub struct Transport2023(Polling<Wire2023>);

struct Wire2023 {
    client: WorkflowServiceClient<Channel>,
    instance: Instance,
}

impl Wire2023 {
    fn client(&self) -> WorkflowServiceClient<Channel> {
        self.client.clone()
    }
}

impl Transport2023 {
    /// Makes the transport; nothing is connected before the first call.
    ///
    /// # Errors
    /// [`GrpcError`] when the settings cannot be used.
    pub fn new(settings: &GrpcSettings, worker: WorkerId) -> Result<Self, GrpcError> {
        Ok(Self::over(&Connection::new(settings)?, settings, worker))
    }

    pub(super) fn over(connection: &Connection, settings: &GrpcSettings, worker: WorkerId) -> Self {
        let wire = Wire2023 {
            client: WorkflowServiceClient::new(connection.channel.clone()),
            instance: Instance::new(&settings.instance),
        };
        let timeouts = (settings.next_timeout, settings.report_timeout);
        Self(Polling::new(wire, connection.target.clone(), worker, settings.polling.clone(), timeouts))
    }
}

#[async_trait]
impl Transport for Transport2023 {
    async fn next(&self) -> Result<Next, TransportError> {
        self.0.next().await
    }

    async fn report(&self, report: &Report) -> Result<Ack, TransportError> {
        self.0.report(report).await
    }

    async fn renew(&self, running: &Report) -> Result<(), TransportError> {
        self.0.renew(running).await
    }
}

#[async_trait]
impl Wire for Wire2023 {
    /// Servers of that time do not look at messages; ours keeps them.
    const MESSAGE_CHARS_MAX: usize = 8 * 1024;

    async fn contexts(&self, worker: &str, hold: Hold) -> Result<Streamed, Status> {
        let request = wire::WorkflowContextRequest { worker_id: worker.to_owned() };
        let answer = self.client().get_workflow_contexts(hold.on(self.instance.sign(request))).await?;
        let lease_s = instance::lease_s(answer.metadata());
        Ok(Streamed { contexts: drain(answer.into_inner()).await?, lease_s })
    }

    async fn all_contexts(&self, _worker: &str) -> Result<Vec<WireContext>, Status> {
        Ok(Vec::new())
    }

    async fn context(&self, _workflow: &str) -> Result<Option<WireContext>, Status> {
        Ok(None)
    }

    async fn actions(&self, workflow: &str) -> Result<Vec<WireAction>, Status> {
        let request = wire::WorkflowActionsRequest { workflow_id: workflow.to_owned() };
        let list = self.client().get_workflow_actions(self.instance.sign(request)).await?.into_inner().action_list;
        Ok(list.into_iter().map(action_of).collect())
    }

    async fn report(&self, report: WireStatus) -> Result<Ack, Status> {
        let answer = self.client().report_action_status(self.instance.sign(wire_status(report))).await?;
        Ok(status::acknowledged(answer.metadata()))
    }

    async fn data(&self, _workflow: &str) -> Result<Option<Vec<u8>>, Status> {
        Ok(None)
    }

    async fn store_data(&self, _workflow: &str, _metadata: Vec<u8>, _data: Vec<u8>) -> Result<bool, Status> {
        Ok(false)
    }
}
