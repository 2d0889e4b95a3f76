//! The wire of tink v0.2 to v0.8: `github.com.tinkerbell.tink.protos.workflow.WorkflowService`, with workflow data.

use async_trait::async_trait;
use tink_proto::v2021::workflow::workflow_service_client::WorkflowServiceClient;
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

polling_messages!(tink_proto::v2021::workflow);

/// A server that speaks the wire of 2021.
#[derive(Debug)]
pub struct Transport2021(Polling<Wire2021>);

struct Wire2021 {
    client: WorkflowServiceClient<Channel>,
    instance: Instance,
}

impl Wire2021 {
    fn client(&self) -> WorkflowServiceClient<Channel> {
        self.client.clone()
    }
}

/// Room for workflow data beside what gRPC allows by default: servers of that time have no limit of their own.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Transport2021 {
    /// Makes the transport; nothing is connected before the first call.
    ///
    /// # Errors
    /// [`GrpcError`] when the settings cannot be used.
    pub fn new(settings: &GrpcSettings, worker: WorkerId) -> Result<Self, GrpcError> {
        Ok(Self::over(&Connection::new(settings)?, settings, worker))
    }

    pub(super) fn over(connection: &Connection, settings: &GrpcSettings, worker: WorkerId) -> Self {
        let client = WorkflowServiceClient::new(connection.channel.clone());
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
        let wire = Wire2021 { client, instance: Instance::new(&settings.instance) };
        let timeouts = (settings.next_timeout, settings.report_timeout);
        Self(Polling::new(wire, connection.target.clone(), worker, settings.polling.clone(), timeouts))
    }
}

#[async_trait]
impl Transport for Transport2021 {
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
impl Wire for Wire2021 {
    /// The servers' databases hold no more.
    const MESSAGE_CHARS_MAX: usize = 200;

    async fn contexts(&self, worker: &str, hold: Hold) -> Result<Streamed, Status> {
        let request = wire::WorkflowContextRequest { worker_id: worker.to_owned() };
        let answer = self.client().get_workflow_contexts(hold.on(self.instance.sign(request))).await?;
        let lease_s = instance::lease_s(answer.metadata());
        Ok(Streamed { contexts: drain(answer.into_inner()).await?, lease_s })
    }

    async fn all_contexts(&self, worker: &str) -> Result<Vec<WireContext>, Status> {
        let request = wire::WorkflowContextRequest { worker_id: worker.to_owned() };
        let list =
            self.client().get_workflow_context_list(self.instance.sign(request)).await?.into_inner().workflow_contexts;
        Ok(list.into_iter().map(context_of).collect())
    }

    async fn context(&self, workflow: &str) -> Result<Option<WireContext>, Status> {
        let request = wire::GetRequest { id: workflow.to_owned() };
        let context = self.client().get_workflow_context(self.instance.sign(request)).await?.into_inner();
        // The first servers answer with an empty message where there is no such workflow.
        Ok((context.workflow_id == workflow).then(|| context_of(context)))
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

    async fn data(&self, workflow: &str) -> Result<Option<Vec<u8>>, Status> {
        let request = wire::GetWorkflowDataRequest { workflow_id: workflow.to_owned(), version: 0 };
        Ok(Some(self.client().get_workflow_data(self.instance.sign(request)).await?.into_inner().data))
    }

    async fn store_data(&self, workflow: &str, metadata: Vec<u8>, data: Vec<u8>) -> Result<bool, Status> {
        let request = wire::UpdateWorkflowDataRequest { workflow_id: workflow.to_owned(), metadata, data };
        self.client().update_workflow_data(self.instance.sign(request)).await?;
        Ok(true)
    }
}
