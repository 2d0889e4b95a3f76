//! The whole worker over the wire: a server that goes away in the middle of an action and comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tink_proto::v2025::action_status_request::StateType;
use tink_proto::v2025::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use tink_proto::v2025::{ActionRequest, ActionResponse, ActionStatusRequest, ActionStatusResponse};
use tink_workflow::{ActionId, ActionState, TaskId, WorkerId, WorkflowId, WorkflowState};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::doubles::{Engine, Script, Steps, workflow};
use crate::transport::grpc::{GrpcSettings, v2025::Transport2025};
use crate::transport::local::Local;
use crate::transport::{Ack, Next, Transport};
use crate::{CancellationToken, Ended, Events, Report, Settings, SystemClock, Worker, WorkerEvent, event_channel};

/// Today's service over the in-process engine, which outlives the server.
struct Service(Local);

#[tonic::async_trait]
impl WorkflowService for Service {
    async fn get_action(&self, _request: Request<ActionRequest>) -> Result<Response<ActionResponse>, Status> {
        let Ok(Next::Action(assignment)) = self.0.next().await else {
            return Err(Status::not_found("no Workflows found"));
        };
        Ok(Response::new(ActionResponse {
            workflow_id: Some(assignment.workflow.to_string()),
            task_id: Some(assignment.task.to_string()),
            agent_id: Some(assignment.worker.to_string()),
            action_id: Some(assignment.action.to_string()),
            name: Some(assignment.name.clone()),
            image: Some(assignment.image.clone()),
            ..ActionResponse::default()
        }))
    }

    async fn report_action_status(
        &self,
        request: Request<ActionStatusRequest>,
    ) -> Result<Response<ActionStatusResponse>, Status> {
        let said = request.into_inner();
        let state = match said.action_state() {
            StateType::Running => ActionState::Running,
            StateType::Success => ActionState::Success,
            StateType::Failed => ActionState::Failed,
            StateType::Timeout => ActionState::Timeout,
            StateType::Pending | StateType::Unspecified => return Err(Status::invalid_argument("state")),
        };
        let report = Report {
            workflow: WorkflowId::parse(said.workflow_id.unwrap_or_default()).unwrap(),
            task: TaskId::parse(said.task_id.unwrap_or_default()).unwrap(),
            action: ActionId::parse(said.action_id.unwrap_or_default()).unwrap(),
            action_name: said.action_name.unwrap_or_default(),
            worker: WorkerId::parse(said.agent_id.unwrap_or_default()).unwrap(),
            state,
            started_at: None,
            stopped_at: None,
            duration: said.execution_duration.unwrap_or_default(),
            message: said.message.unwrap_or_default().message.unwrap_or_default(),
            leaving: said.leaving.unwrap_or_default(),
        };
        match self.0.report(&report).await {
            Ok(Ack::Accepted) => Ok(Response::new(ActionStatusResponse {})),
            Ok(Ack::Refused(reason)) => Err(Status::failed_precondition(reason)),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }
}

/// A server with threads of its own, so that its connections die with it.
fn start(engine: &Local, at: &str) -> (tokio::runtime::Runtime, SocketAddr) {
    let machine = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let service = Service(engine.clone());
    let at = at.to_owned();
    let (bound, address) = std::sync::mpsc::channel();
    machine.spawn(async move {
        let listener = TcpListener::bind(at).await.unwrap();
        bound.send(listener.local_addr().unwrap()).unwrap();
        let server = tonic::transport::Server::builder().add_service(WorkflowServiceServer::new(service));
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    let address = address.recv_timeout(Duration::from_secs(60)).unwrap();
    (machine, address)
}

#[tokio::test]
async fn a_server_that_restarts_in_the_middle_of_an_action_gets_its_result() {
    let local = Local::new(vec![workflow("w", &["x", "y"], |_| {})], Arc::new(SystemClock));
    let (server, address) = start(&local, "127.0.0.1:0");
    let quick = Script { runs_for: Some(Duration::from_millis(500)), ..Script::default() };
    let scripts = BTreeMap::from(["library/x", "library/y"].map(|image| (image.to_owned(), quick.clone())));
    let machine = Arc::new(Mutex::new(crate::doubles::Machine { scripts, ..Default::default() }));
    let engine = Engine { machine: Arc::clone(&machine), steps: Arc::new(Steps::new(None)) };
    let dir = tempfile::tempdir().unwrap();
    let id = WorkerId::parse("w1").unwrap();
    let (observer, mut events) = event_channel(100);
    let mut settings = Settings::new(id.clone(), dir.path());
    settings.backoff_max = Duration::from_millis(200);
    settings.events = Events::none().with(observer);
    let grpc = GrpcSettings {
        next_timeout: Duration::from_secs(2),
        report_timeout: Duration::from_secs(2),
        ..GrpcSettings::plaintext(address.to_string())
    };
    let transport = Arc::new(Transport2025::new(&grpc, id).unwrap());
    let stop = CancellationToken::new();
    let worker = tokio::spawn(Worker::new(settings, transport, Arc::new(engine)).unwrap().run(stop.clone()));

    let mut server = Some(server);
    let mut reported = 0;
    while reported < 2 {
        match events.next().await.unwrap() {
            WorkerEvent::Started { .. } if server.is_some() => server.take().unwrap().shutdown_background(),
            WorkerEvent::Ended { .. } if server.is_none() => server = Some(start(&local, &address.to_string()).0),
            WorkerEvent::Reported { accepted, .. } => {
                assert!(accepted);
                reported += 1;
            }
            _ => {}
        }
    }
    stop.cancel();
    assert_eq!(worker.await.unwrap(), Ended::Stopped);
    assert_eq!(local.workflows()[0].state, WorkflowState::Success);
    assert_eq!(machine.lock().unwrap().started.len(), 2);
    if let Some(server) = server {
        server.shutdown_background();
    }
}
