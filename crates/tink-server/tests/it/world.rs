//! A server and its clients.

use std::time::Duration;

use serde_json::json;
use tink_proto::admin::object_service_client::ObjectServiceClient;
use tink_proto::admin::worker_service_client::WorkerServiceClient;
use tink_proto::admin::workflow_service_client::WorkflowServiceClient as AdminClient;
use tink_proto::admin::{
    ApplyRequest, CancelWorkflowRequest, CreateWorkflowRequest, EventsRequest, Key, Kind, ListWorkersRequest, Workflow,
    WorkflowEvent,
};
use tink_proto::v2025::action_status_request::StateType;
use tink_proto::v2025::workflow_service_client::WorkflowServiceClient;
use tink_proto::v2025::{ActionMessage, ActionRequest, ActionResponse, ActionStatusRequest};
use tink_server::{Config, Running};
use tonic::Status;
use tonic::transport::Channel;

/// Nothing in these tests takes as long; what does hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    pub running: Running,
    pub channel: Channel,
}

/// A server that holds calls for long: a test that is answered was answered by a wake.
pub async fn world() -> World {
    world_with(Config::embedded()).await
}

pub async fn world_with(config: Config) -> World {
    let running = tink_server::start(config).await.unwrap();
    let channel = connect(&running).await;
    World { running, channel }
}

pub async fn connect(running: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", running.grpc_addr())).unwrap().connect().await.unwrap()
}

/// A template of tasks, each `worker: [actions]`.
pub fn template(tasks: &[(&str, &[&str])]) -> String {
    let mut text = "version: \"0.1\"\nname: test\nglobal_timeout: 600\ntasks:\n".to_owned();
    for (nth, (worker, actions)) in tasks.iter().enumerate() {
        text.push_str(&format!("- name: task{nth}\n  worker: {worker}\n  actions:\n"));
        for action in *actions {
            text.push_str(&format!("  - name: {action}\n    image: example.test/{action}:1\n    timeout: 60\n"));
        }
    }
    text
}

pub fn object(kind: &str, name: &str, spec: serde_json::Value) -> serde_json::Value {
    json!({"apiVersion": "tinkerbell.org/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

pub fn key(name: &str) -> Key {
    Key { namespace: String::new(), name: name.to_owned() }
}

impl World {
    pub fn agents(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel.clone())
    }

    pub fn objects(&self) -> ObjectServiceClient<Channel> {
        ObjectServiceClient::new(self.channel.clone())
    }

    pub fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone())
    }

    pub fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel.clone())
    }

    pub async fn apply(&self, kind: Kind, object: serde_json::Value) {
        let request = ApplyRequest { kind: kind.into(), json: object.to_string() };
        self.objects().apply(request).await.unwrap();
    }

    pub async fn apply_template(&self, name: &str, data: &str) {
        self.apply(Kind::Template, object("Template", name, json!({"data": data}))).await;
    }

    /// Creates a workflow from a template of the same name.
    pub async fn create(&self, name: &str, tasks: &[(&str, &[&str])]) -> Workflow {
        self.apply_template(name, &template(tasks)).await;
        let manifest = object("Workflow", name, json!({"templateRef": name}));
        let request = CreateWorkflowRequest { manifest_json: manifest.to_string() };
        self.admin().create(request).await.unwrap().into_inner().workflow.unwrap()
    }

    pub async fn workflow(&self, name: &str) -> Workflow {
        self.admin().get(key(name)).await.unwrap().into_inner()
    }

    pub async fn events(&self, name: &str) -> Vec<WorkflowEvent> {
        let request = EventsRequest { key: Some(key(name)), ..Default::default() };
        self.admin().events(request).await.unwrap().into_inner().events
    }

    pub async fn cancel(&self, name: &str) {
        let request = CancelWorkflowRequest { key: Some(key(name)), reason: String::new() };
        self.admin().cancel(request).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.admin().delete(key(name)).await.unwrap();
    }

    /// How many workers have called.
    pub async fn workers_seen(&self) -> usize {
        self.workers().list(ListWorkersRequest {}).await.unwrap().into_inner().workers.len()
    }

    pub async fn next(&self, worker: &str) -> Result<ActionResponse, Status> {
        Agent { channel: self.channel.clone() }.next(worker).await
    }

    pub async fn report(&self, action: &ActionResponse, state: StateType) -> Result<(), Status> {
        Agent { channel: self.channel.clone() }.report(action, state).await
    }

    /// RUNNING, then SUCCESS.
    pub async fn succeed(&self, action: &ActionResponse) {
        self.report(action, StateType::Running).await.unwrap();
        self.report(action, StateType::Success).await.unwrap();
    }
}

/// An agent over a connection.
pub struct Agent {
    pub channel: Channel,
}

impl Agent {
    pub async fn next(&self, worker: &str) -> Result<ActionResponse, Status> {
        let request = ActionRequest { agent_id: Some(worker.to_owned()), agent_attributes: None };
        let mut client = WorkflowServiceClient::new(self.channel.clone());
        let answer = tokio::time::timeout(PATIENCE, client.get_action(request)).await.expect("held for ever");
        answer.map(tonic::Response::into_inner)
    }

    pub async fn report(&self, action: &ActionResponse, state: StateType) -> Result<(), Status> {
        let mut client = WorkflowServiceClient::new(self.channel.clone());
        client.report_action_status(status(action, state)).await.map(|_| ())
    }
}

pub fn status(action: &ActionResponse, state: StateType) -> ActionStatusRequest {
    ActionStatusRequest {
        workflow_id: action.workflow_id.clone(),
        agent_id: action.agent_id.clone(),
        task_id: action.task_id.clone(),
        action_id: action.action_id.clone(),
        action_name: action.name.clone(),
        action_state: Some(state.into()),
        execution_start: Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 }),
        execution_stop: None,
        execution_duration: Some("1s".to_owned()),
        message: Some(ActionMessage { message: Some(format!("said {state:?}")) }),
        leaving: None,
    }
}
