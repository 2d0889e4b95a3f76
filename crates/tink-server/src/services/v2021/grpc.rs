//! The calls over gRPC.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tink_proto::v2021::events::events_service_server::EventsService;
use tink_proto::v2021::events::{EventType, WatchRequest};
use tink_proto::v2021::hardware::hardware_service_server::HardwareService;
use tink_proto::v2021::template::template_service_server::TemplateService;
use tink_proto::v2021::workflow::workflow_service_server::WorkflowService;
use tink_proto::v2021::{hardware as hw, template as tpl};
use tonic::{Request, Response, Status};

use super::Api;
use super::events::{self, EventStream};
use crate::services::contexts::messages;

messages!(tink_proto::v2021::workflow);

/// Items that are all there.
type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn items<T: Send + 'static>(all: Vec<T>) -> Response<Items<T>> {
    Response::new(Box::pin(stream::iter(all.into_iter().map(Ok))))
}

/// `…workflow.WorkflowService`.
pub struct WorkflowGrpc(pub Arc<Api>);
/// `…template.TemplateService`.
pub struct TemplateGrpc(pub Arc<Api>);
/// `…hardware.HardwareService`.
pub struct HardwareGrpc(pub Arc<Api>);
/// `…events.EventsService`.
pub struct EventsGrpc(pub Arc<Api>);

#[tonic::async_trait]
impl WorkflowService for WorkflowGrpc {
    async fn create_workflow(
        &self,
        request: Request<wire::CreateRequest>,
    ) -> Result<Response<wire::CreateResponse>, Status> {
        let id = self.0.create_workflow(request.into_inner()).await?;
        Ok(Response::new(wire::CreateResponse { id }))
    }

    async fn get_workflow(&self, request: Request<wire::GetRequest>) -> Result<Response<wire::Workflow>, Status> {
        self.0.workflow(&request.into_inner().id).await.map(Response::new)
    }

    async fn delete_workflow(&self, request: Request<wire::GetRequest>) -> Result<Response<wire::Empty>, Status> {
        self.0.delete_workflow(&request.into_inner().id).await?;
        Ok(Response::new(wire::Empty {}))
    }

    type ListWorkflowsStream = Items<wire::Workflow>;

    async fn list_workflows(&self, _: Request<wire::Empty>) -> Result<Response<Items<wire::Workflow>>, Status> {
        self.0.workflows().await.map(items)
    }

    async fn get_workflow_context(
        &self,
        request: Request<wire::GetRequest>,
    ) -> Result<Response<wire::WorkflowContext>, Status> {
        self.0.workflow_context(&request.into_inner().id).await.map(Response::new)
    }

    type ShowWorkflowEventsStream = Items<wire::WorkflowActionStatus>;

    async fn show_workflow_events(
        &self,
        request: Request<wire::GetRequest>,
    ) -> Result<Response<Items<wire::WorkflowActionStatus>>, Status> {
        self.0.workflow_events(&request.into_inner().id).await.map(items)
    }

    async fn get_workflow_context_list(
        &self,
        request: Request<wire::WorkflowContextRequest>,
    ) -> Result<Response<wire::WorkflowContextList>, Status> {
        let all = self.0.contexts.list(request.into_inner().worker_id).await?;
        let workflow_contexts = all.into_iter().map(context).collect();
        Ok(Response::new(wire::WorkflowContextList { workflow_contexts }))
    }

    type GetWorkflowContextsStream = ContextStream;

    async fn get_workflow_contexts(
        &self,
        request: Request<wire::WorkflowContextRequest>,
    ) -> Result<Response<ContextStream>, Status> {
        Ok(stream(Arc::clone(&self.0.contexts), request))
    }

    async fn get_workflow_actions(
        &self,
        request: Request<wire::WorkflowActionsRequest>,
    ) -> Result<Response<wire::WorkflowActionList>, Status> {
        let actions = self.0.contexts.actions(&request.into_inner().workflow_id).await?;
        Ok(Response::new(wire::WorkflowActionList { action_list: actions.into_iter().map(action).collect() }))
    }

    async fn report_action_status(
        &self,
        request: Request<wire::WorkflowActionStatus>,
    ) -> Result<Response<wire::Empty>, Status> {
        let caller = crate::services::caller_of(&request);
        self.0.contexts.report(said(request.into_inner()), &caller).await.map(answer)
    }

    async fn get_workflow_data(
        &self,
        request: Request<wire::GetWorkflowDataRequest>,
    ) -> Result<Response<wire::GetWorkflowDataResponse>, Status> {
        self.0.workflow_data(request.into_inner()).await.map(Response::new)
    }

    async fn get_workflow_metadata(
        &self,
        request: Request<wire::GetWorkflowDataRequest>,
    ) -> Result<Response<wire::GetWorkflowDataResponse>, Status> {
        self.0.workflow_metadata(request.into_inner()).await.map(Response::new)
    }

    async fn get_workflow_data_version(
        &self,
        request: Request<wire::GetWorkflowDataRequest>,
    ) -> Result<Response<wire::GetWorkflowDataResponse>, Status> {
        self.0.workflow_data_version(request.into_inner()).await.map(Response::new)
    }

    async fn update_workflow_data(
        &self,
        request: Request<wire::UpdateWorkflowDataRequest>,
    ) -> Result<Response<wire::Empty>, Status> {
        self.0.update_workflow_data(request.into_inner()).await.map(answer)
    }
}

#[tonic::async_trait]
impl TemplateService for TemplateGrpc {
    async fn create_template(
        &self,
        request: Request<tpl::WorkflowTemplate>,
    ) -> Result<Response<tpl::CreateResponse>, Status> {
        let id = self.0.create_template(request.into_inner()).await?;
        Ok(Response::new(tpl::CreateResponse { id }))
    }

    async fn get_template(&self, request: Request<tpl::GetRequest>) -> Result<Response<tpl::WorkflowTemplate>, Status> {
        self.0.template(request.into_inner()).await.map(|found| Response::new(found.message))
    }

    async fn delete_template(&self, request: Request<tpl::GetRequest>) -> Result<Response<tpl::Empty>, Status> {
        self.0.delete_template(request.into_inner()).await?;
        Ok(Response::new(tpl::Empty {}))
    }

    type ListTemplatesStream = Items<tpl::WorkflowTemplate>;

    async fn list_templates(
        &self,
        request: Request<tpl::ListRequest>,
    ) -> Result<Response<Items<tpl::WorkflowTemplate>>, Status> {
        let name = request.into_inner().filter_by.map(|tpl::list_request::FilterBy::Name(name)| name);
        self.0.templates(name.as_deref()).await.map(items)
    }

    async fn update_template(&self, request: Request<tpl::WorkflowTemplate>) -> Result<Response<tpl::Empty>, Status> {
        self.0.update_template(request.into_inner()).await?;
        Ok(Response::new(tpl::Empty {}))
    }
}

impl HardwareGrpc {
    /// The hardware after each of its changes, until it is deleted.
    fn watch_hardware(&self, id: String) -> Response<Items<hw::Hardware>> {
        let api = Arc::clone(&self.0);
        let changed = events::of_hardware(Arc::clone(&api), id.clone())
            .try_filter(|event| std::future::ready(event.event_type != EventType::Deleted as i32))
            .then(move |event| {
                let (api, id) = (Arc::clone(&api), id.clone());
                async move {
                    event?;
                    api.hardware_by_id(&id).await
                }
            });
        Response::new(Box::pin(changed))
    }
}

#[tonic::async_trait]
impl HardwareService for HardwareGrpc {
    async fn push(&self, request: Request<hw::PushRequest>) -> Result<Response<hw::Empty>, Status> {
        self.0.push_hardware(request.into_inner().data).await?;
        Ok(Response::new(hw::Empty {}))
    }

    async fn by_mac(&self, request: Request<hw::GetRequest>) -> Result<Response<hw::Hardware>, Status> {
        self.0.hardware_by_mac(&request.into_inner().mac).await.map(Response::new)
    }

    async fn by_ip(&self, request: Request<hw::GetRequest>) -> Result<Response<hw::Hardware>, Status> {
        self.0.hardware_by_ip(&request.into_inner().ip).await.map(Response::new)
    }

    async fn by_id(&self, request: Request<hw::GetRequest>) -> Result<Response<hw::Hardware>, Status> {
        self.0.hardware_by_id(&request.into_inner().id).await.map(Response::new)
    }

    type AllStream = Items<hw::Hardware>;

    async fn all(&self, _: Request<hw::Empty>) -> Result<Response<Items<hw::Hardware>>, Status> {
        self.0.all_hardware().await.map(items)
    }

    type WatchStream = Items<hw::Hardware>;

    async fn watch(&self, request: Request<hw::GetRequest>) -> Result<Response<Items<hw::Hardware>>, Status> {
        Ok(self.watch_hardware(request.into_inner().id))
    }

    type DeprecatedWatchStream = Items<hw::Hardware>;

    async fn deprecated_watch(
        &self,
        request: Request<hw::GetRequest>,
    ) -> Result<Response<Items<hw::Hardware>>, Status> {
        Ok(self.watch_hardware(request.into_inner().id))
    }

    async fn delete(&self, request: Request<hw::DeleteRequest>) -> Result<Response<hw::Empty>, Status> {
        self.0.delete_hardware(&request.into_inner().id).await?;
        Ok(Response::new(hw::Empty {}))
    }
}

#[tonic::async_trait]
impl EventsService for EventsGrpc {
    type WatchStream = EventStream;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<EventStream>, Status> {
        Ok(Response::new(events::start(Arc::clone(&self.0), request.into_inner())))
    }
}
