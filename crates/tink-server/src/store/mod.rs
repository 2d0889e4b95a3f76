//! Where everything is kept: the [`Store`] contract and its implementations.
//!
//! The engine is the only caller that changes workflows. It reads a workflow with its version, computes the next one
//! with [`tink_workflow::step`], and puts it back *if the version is still the same*; so the same engine is right over a
//! file, a database shared by several servers, or an API server.

#[cfg(test)]
pub mod contract;
mod error;
#[cfg(test)]
pub mod failing;
#[cfg(any(test, feature = "simulation"))]
pub mod memory;
pub mod sqlite;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use tink_workflow::{Timestamp, WorkerId, Workflow, WorkflowId};
use tokio::sync::{broadcast, watch};

pub use error::StoreError;
pub use types::{
    Applied, Change, Created, EventFilter, EventPage, NewData, ObjectChange, ObjectEvent, ObjectKey, ObjectKind,
    Outcome, Put, StateCount, StoredData, StoredEvent, StoredObject, StoredWorker, StoredWorkflow, Tombstone,
    WorkerSeen, WorkflowEvent, WorkflowFilter,
};

/// Keeps hardware, templates, workflows, events and what is known of workers.
///
/// # Contract
/// - A call that returns `Ok` and changes something is durable: it survives a crash of the process and of the machine.
///   A call that returns `Err` changed nothing, or (after a failed commit) may be found done later; every caller may
///   repeat it.
/// - Changes are linear: every reader that starts after a change was acknowledged sees it.
/// - Events have sequence numbers that grow in the order of commits, over all workflows, and are never used twice.
///   The events of a change are stored with it or not at all.
/// - [`Store::subscribe`] delivers every change committed after the call, in order of sequence, or says how many were
///   missed.
/// - Events and tombstones are bounded; the oldest go first.
///
/// Every implementation runs the suite in `contract.rs`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The object, if there is one.
    async fn object(&self, kind: ObjectKind, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError>;

    /// All objects of a kind (of one namespace, if given), by namespace and name.
    async fn objects(&self, kind: ObjectKind, namespace: Option<&str>) -> Result<Vec<StoredObject>, StoreError>;

    /// Creates the object or replaces it whole; the same text again changes nothing.
    async fn apply_object(
        &self,
        kind: ObjectKind,
        key: &ObjectKey,
        json: String,
        now: Timestamp,
    ) -> Result<Applied, StoreError>;

    /// Deletes the object; false when there was none.
    async fn delete_object(&self, kind: ObjectKind, key: &ObjectKey, now: Timestamp) -> Result<bool, StoreError>;

    /// What became of hardware, templates and workflows (which are created and deleted here, not updated) after a sequence
    /// number, oldest first, at most `limit`. Kept for [`OBJECT_EVENTS_AGE_MAX_S`], and bounded in number and bytes: the
    /// oldest go first.
    async fn object_events(&self, after: i64, limit: usize) -> Result<Vec<ObjectEvent>, StoreError>;

    /// The sequence number of the newest object event, as it grows. Wakes are merged: read from where you stand.
    fn subscribe_objects(&self) -> watch::Receiver<i64>;

    /// Stores the next version of the data that the actions of a workflow share, and returns its number, from 1. The same
    /// data again changes nothing. Of the newest `keep` versions the data is kept, of [`METADATA_VERSIONS_MAX`] the
    /// metadata; all of it goes with its workflow. None when there is no such workflow.
    async fn put_data(&self, id: &WorkflowId, data: NewData, keep: u32) -> Result<Option<i64>, StoreError>;

    /// A version of the data that the actions of a workflow share; 0 is the newest. None when there is no such version.
    async fn data(&self, id: &WorkflowId, version: i64) -> Result<Option<StoredData>, StoreError>;

    /// The workflow with its version, if there is one.
    async fn workflow(&self, id: &WorkflowId) -> Result<Option<StoredWorkflow>, StoreError>;

    /// Workflows, oldest first, and the sequence number of the last event any of them can reflect.
    async fn workflows(&self, filter: &WorkflowFilter) -> Result<(Vec<StoredWorkflow>, i64), StoreError>;

    /// The workflows with a task of this worker that have not ended, oldest first.
    async fn open_workflows_of(&self, worker: &WorkerId) -> Result<Vec<StoredWorkflow>, StoreError>;

    /// Stores a new workflow at version 1, with its events, unless the id is taken.
    async fn create_workflow(
        &self,
        workflow: Workflow,
        manifest_json: String,
        events: Vec<WorkflowEvent>,
    ) -> Result<Created, StoreError>;

    /// Replaces the workflow, with events, if it is still at `version`; it is at `version + 1` then.
    async fn put_workflow(
        &self,
        workflow: Workflow,
        version: i64,
        events: Vec<WorkflowEvent>,
    ) -> Result<Put, StoreError>;

    /// Deletes the workflow if it is still at `version`, with an event and, where an action of it is in a worker's
    /// hands, a tombstone by which that worker's last report is recognised.
    async fn delete_workflow(
        &self,
        id: &WorkflowId,
        version: i64,
        tombstone: Option<Tombstone>,
        event: WorkflowEvent,
    ) -> Result<Put, StoreError>;

    /// Whether this very action was in this worker's hands when its workflow was deleted.
    async fn is_tombstone(&self, tombstone: &Tombstone) -> Result<bool, StoreError>;

    /// Ids of workflows whose deadline is not after `now` and that have not ended, at most `limit`.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<WorkflowId>, StoreError>;

    /// The earliest deadline of a workflow that has not ended.
    async fn next_deadline(&self) -> Result<Option<Timestamp>, StoreError>;

    /// How many workflows are in each state.
    async fn count_by_state(&self) -> Result<Vec<StateCount>, StoreError>;

    /// Stores an event on its own. A refusal that repeats the workflow's newest event is dropped: a worker that asks
    /// the same again and again does not push the history out.
    async fn append_event(&self, event: WorkflowEvent) -> Result<(), StoreError>;

    /// Events in order of sequence.
    async fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError>;

    /// Every change from now on. A subscriber that falls more than [`SUBSCRIBER_LAG_MAX`] changes behind misses some
    /// and is told so; it catches up with [`Store::events`].
    fn subscribe(&self) -> broadcast::Receiver<Change>;

    /// Stores when and with what attributes workers were seen. The first sight of a worker is kept.
    async fn see_workers(&self, seen: Vec<WorkerSeen>) -> Result<(), StoreError>;

    /// What is known of a worker; none when it was never seen.
    async fn worker(&self, id: &WorkerId) -> Result<Option<StoredWorker>, StoreError>;

    /// Every worker ever seen, by id.
    async fn workers(&self) -> Result<Vec<StoredWorker>, StoreError>;

    /// Writes something durably, to find out whether that is possible.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Finishes what is accepted and closes; later calls return [`StoreError::Closed`].
    async fn close(&self);
}

/// Seconds that object events are kept.
pub const OBJECT_EVENTS_AGE_MAX_S: i64 = 60 * 60;

/// Versions of a workflow's data of which the metadata is kept.
pub const METADATA_VERSIONS_MAX: i64 = 100;

/// Changes kept for a slow subscriber.
pub const SUBSCRIBER_LAG_MAX: usize = 1024;

/// A store shared by everything that uses it.
pub type SharedStore = Arc<dyn Store>;
