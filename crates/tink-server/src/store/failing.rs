//! A store that fails at the Nth call, for tests of what uses it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// When the failure strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// Nothing is done.
    Before,
    /// It is done, and said to have failed: the commit arrived, the answer did not.
    After,
}

/// Passes calls on, and fails one of them.
pub struct FailingStore {
    inner: SharedStore,
    calls: AtomicUsize,
    nth: usize,
    strike: Strike,
}

impl FailingStore {
    /// Fails the `nth` call, counted from 1; 0 fails none.
    pub fn new(inner: SharedStore, nth: usize, strike: Strike) -> Self {
        Self { inner, calls: AtomicUsize::new(0), nth, strike }
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn pass<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let struck = self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.nth;
        match (struck, self.strike) {
            (false, _) => call.await,
            (true, Strike::Before) => Err(StoreError::Made { doing }),
            (true, Strike::After) => call.await.and(Err(StoreError::Made { doing })),
        }
    }
}

#[async_trait]
impl Store for FailingStore {
    async fn object(&self, kind: ObjectKind, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        self.pass("object", self.inner.object(kind, key)).await
    }

    async fn objects(&self, kind: ObjectKind, namespace: Option<&str>) -> Result<Vec<StoredObject>, StoreError> {
        self.pass("objects", self.inner.objects(kind, namespace)).await
    }

    async fn apply_object(
        &self,
        kind: ObjectKind,
        key: &ObjectKey,
        json: String,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        self.pass("apply_object", self.inner.apply_object(kind, key, json, now)).await
    }

    async fn delete_object(&self, kind: ObjectKind, key: &ObjectKey, now: Timestamp) -> Result<bool, StoreError> {
        self.pass("delete_object", self.inner.delete_object(kind, key, now)).await
    }

    async fn object_events(&self, after: i64, limit: usize) -> Result<Vec<ObjectEvent>, StoreError> {
        self.pass("object_events", self.inner.object_events(after, limit)).await
    }

    fn subscribe_objects(&self) -> watch::Receiver<i64> {
        self.inner.subscribe_objects()
    }

    async fn put_data(&self, id: &WorkflowId, data: NewData, keep: u32) -> Result<Option<i64>, StoreError> {
        self.pass("put_data", self.inner.put_data(id, data, keep)).await
    }

    async fn data(&self, id: &WorkflowId, version: i64) -> Result<Option<StoredData>, StoreError> {
        self.pass("data", self.inner.data(id, version)).await
    }

    async fn workflow(&self, id: &WorkflowId) -> Result<Option<StoredWorkflow>, StoreError> {
        self.pass("workflow", self.inner.workflow(id)).await
    }

    async fn workflows(&self, filter: &WorkflowFilter) -> Result<(Vec<StoredWorkflow>, i64), StoreError> {
        self.pass("workflows", self.inner.workflows(filter)).await
    }

    async fn open_workflows_of(&self, worker: &WorkerId) -> Result<Vec<StoredWorkflow>, StoreError> {
        self.pass("open_workflows_of", self.inner.open_workflows_of(worker)).await
    }

    async fn create_workflow(
        &self,
        workflow: Workflow,
        manifest_json: String,
        events: Vec<WorkflowEvent>,
    ) -> Result<Created, StoreError> {
        self.pass("create_workflow", self.inner.create_workflow(workflow, manifest_json, events)).await
    }

    async fn put_workflow(
        &self,
        workflow: Workflow,
        version: i64,
        events: Vec<WorkflowEvent>,
    ) -> Result<Put, StoreError> {
        self.pass("put_workflow", self.inner.put_workflow(workflow, version, events)).await
    }

    async fn delete_workflow(
        &self,
        id: &WorkflowId,
        version: i64,
        tombstone: Option<Tombstone>,
        event: WorkflowEvent,
    ) -> Result<Put, StoreError> {
        self.pass("delete_workflow", self.inner.delete_workflow(id, version, tombstone, event)).await
    }

    async fn is_tombstone(&self, tombstone: &Tombstone) -> Result<bool, StoreError> {
        self.pass("is_tombstone", self.inner.is_tombstone(tombstone)).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<WorkflowId>, StoreError> {
        self.pass("due", self.inner.due(now, limit)).await
    }

    async fn next_deadline(&self) -> Result<Option<Timestamp>, StoreError> {
        self.pass("next_deadline", self.inner.next_deadline()).await
    }

    async fn count_by_state(&self) -> Result<Vec<StateCount>, StoreError> {
        self.pass("count_by_state", self.inner.count_by_state()).await
    }

    async fn append_event(&self, event: WorkflowEvent) -> Result<(), StoreError> {
        self.pass("append_event", self.inner.append_event(event)).await
    }

    async fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
        self.pass("events", self.inner.events(filter)).await
    }

    fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.inner.subscribe()
    }

    async fn see_workers(&self, seen: Vec<WorkerSeen>) -> Result<(), StoreError> {
        self.pass("see_workers", self.inner.see_workers(seen)).await
    }

    async fn worker(&self, id: &WorkerId) -> Result<Option<StoredWorker>, StoreError> {
        self.pass("worker", self.inner.worker(id)).await
    }

    async fn workers(&self) -> Result<Vec<StoredWorker>, StoreError> {
        self.pass("workers", self.inner.workers()).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.pass("probe", self.inner.probe()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
