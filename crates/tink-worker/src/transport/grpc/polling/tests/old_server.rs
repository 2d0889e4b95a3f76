//! Servers of 2021 to 2025 as upstream's behave, quirks included.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tink_workflow::ActionState;
use tonic::Status;

use super::super::{Hold, Streamed, Wire, WireAction, WireContext, WireStatus};
use crate::doubles::Steps;
use crate::transport::Ack;

/// What keeps the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// tink v0.2 to v0.8 on PostgreSQL.
    Sql,
    /// tink v0.7 to v0.12 on Kubernetes.
    Kubernetes,
}

/// A workflow and its cursor.
#[derive(Clone, Debug)]
pub(crate) struct OldWorkflow {
    pub(crate) id: String,
    pub(crate) actions: Vec<WireAction>,
    /// Before anything ran, PostgreSQL names no action.
    pub(crate) begun: bool,
    pub(crate) index: usize,
    pub(crate) state: ActionState,
}

impl OldWorkflow {
    pub(crate) fn is_over(&self) -> bool {
        match self.state {
            ActionState::Failed | ActionState::Timeout => true,
            ActionState::Success => self.index + 1 == self.actions.len(),
            ActionState::Pending | ActionState::Running => false,
        }
    }

    fn context(&self, flavour: Flavour) -> WireContext {
        let action = &self.actions[self.index];
        let named = self.begun || flavour == Flavour::Kubernetes;
        let text = |text: &str| if named { text.to_owned() } else { String::new() };
        WireContext {
            workflow: self.id.clone(),
            task: text(&action.task),
            action: text(&action.name),
            index: i64::try_from(self.index).unwrap(),
            state: self.state,
            total: i64::try_from(self.actions.len()).unwrap(),
        }
    }
}

/// Everything a server has.
#[derive(Debug)]
pub(crate) struct OldServer {
    pub(crate) flavour: Flavour,
    pub(crate) workflows: Vec<OldWorkflow>,
    /// Every report that was taken.
    pub(crate) taken: Vec<WireStatus>,
    /// Metadata and data of every version, by workflow.
    pub(crate) data: HashMap<String, Vec<(String, String)>>,
    /// Requests that would have ended upstream's process.
    pub(crate) panics: Vec<String>,
    /// Reports that fail as if two writes had met.
    pub(crate) conflicts: u32,
    /// Contexts as a cache shows them, for the next calls.
    pub(crate) stale: u32,
    /// As our server says it.
    pub(crate) lease_s: u64,
    /// Why reports are acknowledged and not taken, as our server says it.
    pub(crate) refused: Option<&'static str>,
    /// How often contexts were asked for.
    pub(crate) looks: u32,
    shown: Vec<OldWorkflow>,
}

fn invalid(text: &str) -> Status {
    Status::invalid_argument(text.to_owned())
}

impl OldServer {
    pub(crate) fn new(flavour: Flavour, workflows: Vec<OldWorkflow>) -> Self {
        let shown = workflows.clone();
        Self {
            flavour,
            workflows,
            taken: Vec::new(),
            data: HashMap::new(),
            panics: Vec::new(),
            conflicts: 0,
            stale: 0,
            lease_s: 0,
            refused: None,
            looks: 0,
            shown,
        }
    }

    /// Whether a cache would show something else than what is.
    pub(crate) fn shown_is_old(&self) -> bool {
        let place = |workflow: &OldWorkflow| (workflow.id.clone(), workflow.index, workflow.state);
        self.shown.iter().map(place).ne(self.workflows.iter().map(place))
    }

    fn applies(&self, workflow: &OldWorkflow, worker: &str) -> bool {
        let mine = |index: usize| workflow.actions.get(index).is_some_and(|action| action.worker == worker);
        match (self.flavour, workflow.state) {
            (_, ActionState::Failed | ActionState::Timeout) => false,
            (_, ActionState::Success) if workflow.is_over() => false,
            // The defect: only after the very first action.
            (Flavour::Sql, ActionState::Success) => workflow.index == 0 && mine(1),
            _ => mine(workflow.index),
        }
    }

    pub(crate) fn contexts(&mut self, worker: &str) -> Vec<WireContext> {
        self.looks += 1;
        if self.stale > 0 {
            self.stale -= 1;
        } else {
            self.shown = self.workflows.clone();
        }
        let applies = self.shown.iter().filter(|workflow| self.applies(workflow, worker));
        applies.map(|workflow| workflow.context(self.flavour)).collect()
    }

    pub(crate) fn all_contexts(&self, worker: &str) -> Result<Vec<WireContext>, Status> {
        if self.flavour == Flavour::Kubernetes {
            return Err(Status::unknown("not implemented"));
        }
        let mine = |workflow: &&OldWorkflow| workflow.actions.iter().any(|action| action.worker == worker);
        let all: Vec<_> = self.workflows.iter().filter(mine).map(|workflow| workflow.context(self.flavour)).collect();
        // An empty answer is none at all to the library.
        if all.is_empty() {
            Err(Status::internal("grpc: error while marshaling: proto: Marshal called with nil"))
        } else {
            Ok(all)
        }
    }

    pub(crate) fn context(&self, id: &str) -> Result<Option<WireContext>, Status> {
        if self.flavour == Flavour::Kubernetes {
            return Err(Status::unknown("not implemented"));
        }
        Ok(self.workflows.iter().find(|workflow| workflow.id == id).map(|workflow| workflow.context(self.flavour)))
    }

    pub(crate) fn actions(&self, id: &str) -> Result<Vec<WireAction>, Status> {
        match self.workflows.iter().find(|workflow| workflow.id == id) {
            Some(workflow) => Ok(workflow.actions.clone()),
            None if self.flavour == Flavour::Sql => Ok(Vec::new()),
            None => Err(invalid("invalid workflow id")),
        }
    }

    pub(crate) fn report(&mut self, status: &WireStatus) -> Result<(), Status> {
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return Err(invalid("invalid workflow id"));
        }
        let flavour = self.flavour;
        let Some(workflow) = self.workflows.iter_mut().find(|workflow| workflow.id == status.workflow) else {
            if flavour == Flavour::Sql {
                self.panics.push(format!("a report for an unknown workflow: {status:?}"));
            }
            return Err(invalid("invalid workflow id"));
        };
        let mut index = workflow.index;
        if flavour == Flavour::Sql && status.state == ActionState::Running && workflow.begun {
            index += 1;
        }
        let Some(action) = workflow.actions.get(index) else {
            self.panics.push(format!("RUNNING after the last action: {status:?}"));
            return Err(Status::unavailable("connection closed"));
        };
        if action.task != status.task {
            return Err(invalid("reported task name does not match the current action details"));
        }
        if action.name != status.action {
            return Err(invalid("reported action name does not match the current action details"));
        }
        (workflow.begun, workflow.index, workflow.state) = (true, index, status.state);
        if flavour == Flavour::Kubernetes && status.state == ActionState::Success && !workflow.is_over() {
            (workflow.index, workflow.state) = (index + 1, ActionState::Pending);
        }
        self.taken.push(status.clone());
        Ok(())
    }
}

/// One life's calls to such a server.
pub(crate) struct OldWire {
    pub(crate) server: Arc<Mutex<OldServer>>,
    pub(crate) steps: Arc<Steps>,
}

impl OldWire {
    async fn call<T>(&self, name: &str, call: impl FnOnce(&mut OldServer) -> Result<T, Status>) -> Result<T, Status> {
        let away = |_| Status::unavailable("planned: away");
        self.steps.step(&format!("before {name}")).await.map_err(away)?;
        let answer = call(&mut self.server.lock().unwrap());
        self.steps.step(&format!("after {name}")).await.map_err(away)?;
        answer
    }
}

#[async_trait]
impl Wire for OldWire {
    const MESSAGE_CHARS_MAX: usize = 200;

    async fn contexts(&self, worker: &str, _hold: Hold) -> Result<Streamed, Status> {
        let streamed =
            |server: &mut OldServer| Ok(Streamed { contexts: server.contexts(worker), lease_s: server.lease_s });
        self.call("contexts", streamed).await
    }

    async fn all_contexts(&self, worker: &str) -> Result<Vec<WireContext>, Status> {
        self.call("all contexts", |server| server.all_contexts(worker)).await
    }

    async fn context(&self, workflow: &str) -> Result<Option<WireContext>, Status> {
        self.call("context", |server| server.context(workflow)).await
    }

    async fn actions(&self, workflow: &str) -> Result<Vec<WireAction>, Status> {
        self.call("actions", |server| server.actions(workflow)).await
    }

    async fn report(&self, status: WireStatus) -> Result<Ack, Status> {
        self.call("report", |server| server.report(&status).map(|()| Ack::Accepted)).await
    }

    async fn data(&self, workflow: &str) -> Result<Option<Vec<u8>>, Status> {
        self.call("data", |server| {
            let newest = server.data.get(workflow).and_then(|versions| versions.last());
            Ok(Some(newest.map(|(_, data)| data.clone().into_bytes()).unwrap_or_default()))
        })
        .await
    }

    async fn store_data(&self, workflow: &str, metadata: Vec<u8>, data: Vec<u8>) -> Result<bool, Status> {
        self.call("store data", |server| {
            let version = (String::from_utf8(metadata).unwrap(), String::from_utf8(data).unwrap());
            server.data.entry(workflow.to_owned()).or_default().push(version);
            Ok(true)
        })
        .await
    }
}
