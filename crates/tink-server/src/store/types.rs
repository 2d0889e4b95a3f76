//! What a store takes and gives.

use std::fmt;
use std::sync::Arc;

use tink_workflow::{ActionId, Timestamp, WorkerId, Workflow, WorkflowId, WorkflowState};

/// Which kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A machine.
    Hardware,
    /// A template of workflows.
    Template,
}

impl ObjectKind {
    /// The kind as its manifest writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hardware => "Hardware",
            Self::Template => "Template",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKey {
    /// Its namespace, never empty.
    pub namespace: String,
    /// Its name, never empty.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Which kind.
    pub kind: ObjectKind,
    /// Its name.
    pub key: ObjectKey,
    /// The whole object.
    pub json: String,
    /// Grows by one with every change.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What applying an object did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was none before.
    Created,
    /// It was another before.
    Updated,
    /// It was the same before.
    Unchanged,
}

/// Answer to [`super::Store::apply_object`].
#[derive(Clone, Debug)]
pub struct Applied {
    /// What happened.
    pub outcome: Outcome,
    /// The object as it is now.
    pub object: StoredObject,
}

/// A workflow as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWorkflow {
    /// The workflow.
    pub workflow: Workflow,
    /// Grows by one with every change; 1 at first.
    pub version: i64,
    /// The manifest it was created from.
    pub manifest_json: Arc<str>,
}

/// Which workflows to list. Empty fields do not restrict.
#[derive(Clone, Debug, Default)]
pub struct WorkflowFilter {
    /// Only this one.
    pub id: Option<WorkflowId>,
    /// Only of this namespace.
    pub namespace: Option<String>,
    /// Only with a task of this worker.
    pub worker: Option<WorkerId>,
    /// Only in one of these states.
    pub states: Vec<WorkflowState>,
}

/// Answer to [`super::Store::create_workflow`].
#[derive(Clone, Debug)]
pub enum Created {
    /// It is stored.
    Stored(Arc<StoredWorkflow>),
    /// There is one of that id already.
    Exists,
}

/// Answer to a conditional change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Stored,
    /// The workflow is at another version, or gone: read it again.
    Conflict,
}

/// An event that is not yet stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowEvent {
    /// When, by the server's clock.
    pub at: Timestamp,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// `created`, `offered`, `action`, `workflow`, `refused`, `cancelled` or `deleted`.
    pub kind: &'static str,
    /// What happened, for people. Never holds an action's environment.
    pub message: String,
    /// The worker concerned.
    pub worker: Option<WorkerId>,
    /// The action concerned.
    pub action: Option<ActionId>,
    /// The state after it, or empty.
    pub state: &'static str,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Grows over the whole store.
    pub sequence: i64,
    /// When, by the server's clock.
    pub at: Timestamp,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// As in [`WorkflowEvent::kind`].
    pub kind: String,
    /// What happened, for people.
    pub message: String,
    /// The worker concerned, or empty.
    pub worker: String,
    /// The action concerned, or empty.
    pub action: String,
    /// The state after it, or empty.
    pub state: String,
}

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of this workflow.
    pub workflow: Option<WorkflowId>,
    /// Only after this sequence number.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
    /// Of more than `limit`, the newest (else the oldest).
    pub newest: bool,
}

/// Events, oldest first.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether events after [`EventFilter::after`] were dropped because there were too many.
    pub pruned: bool,
}

/// A committed change of a workflow.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened.
    pub event: Arc<StoredEvent>,
    /// The workflow after it; none when it was deleted, or when the event changed nothing.
    pub workflow: Option<Arc<StoredWorkflow>>,
}

/// The action that a worker had in hands when its workflow was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The deleted workflow.
    pub workflow: WorkflowId,
    /// The worker.
    pub worker: WorkerId,
    /// The action.
    pub action: ActionId,
}

/// A sight of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSeen {
    /// Which.
    pub id: WorkerId,
    /// When.
    pub at: Timestamp,
    /// From which address.
    pub address: String,
    /// Its attributes as JSON, if it sent any.
    pub attributes_json: Option<String>,
}

/// What is known of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWorker {
    /// Which.
    pub id: WorkerId,
    /// Its first call.
    pub first_seen: Timestamp,
    /// Its last call.
    pub last_seen: Timestamp,
    /// Address of its last call.
    pub address: String,
    /// Its attributes as JSON, or empty.
    pub attributes_json: String,
}

/// How many workflows are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCount {
    /// The state's word.
    pub state: String,
    /// How many.
    pub count: i64,
}

/// A version of the data that a workflow's actions share, not yet stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewData {
    /// Who wrote it, and after which action.
    pub metadata: Vec<u8>,
    /// The data.
    pub data: Vec<u8>,
}

/// A version of the data that a workflow's actions share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredData {
    /// Counted from 1.
    pub version: i64,
    /// Who wrote it, and after which action.
    pub metadata: Vec<u8>,
    /// The data; none when it is no longer kept.
    pub data: Option<Vec<u8>>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectChange {
    /// There was none before.
    Created,
    /// It was another before.
    Updated,
    /// It is gone.
    Deleted,
}

impl ObjectChange {
    /// The word it is stored as.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }

    /// The change of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Created, Self::Updated, Self::Deleted].into_iter().find(|change| change.as_str() == word)
    }
}

/// A change of a hardware, a template or a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEvent {
    /// Grows over all objects.
    pub sequence: i64,
    /// When, by the server's clock.
    pub at: Timestamp,
    /// `Hardware`, `Template` or `Workflow`.
    pub kind: String,
    /// Its name.
    pub key: ObjectKey,
    /// What happened.
    pub change: ObjectChange,
    /// The object, or the workflow's manifest: after the change, or before it was deleted.
    pub json: String,
}
