//! The store in one SQLite file, the default.
//!
//! ```text
//! calls that change ──► bounded queue ──► writer thread: one transaction for all that wait ──► one fsync ──► answers
//! calls that read   ──► a few reader connections on the blocking pool (WAL: they never wait for the writer)
//! ```
//!
//! `synchronous=FULL` makes every commit an fsync; grouping is what lets thousands of reports a second share them. A
//! lock file beside the data file keeps a second server away, which also makes it right to keep open workflows at hand.

mod data;
mod events;
mod object_events;
mod objects;
mod open;
mod reader;
mod recent;
mod schema;
mod workers;
mod workflows;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use tink_workflow::{Timestamp, WorkerId, Workflow, WorkflowId};
use tokio::sync::{broadcast, watch};

use super::{
    Applied, Change, Created, EventFilter, EventPage, NewData, ObjectChange, ObjectEvent, ObjectKey, ObjectKind, Put,
    StateCount, Store, StoreError, StoredData, StoredObject, StoredWorker, StoredWorkflow, Tombstone, WorkerSeen,
    WorkflowEvent, WorkflowFilter,
};
use reader::Readers;
use recent::{Recent, Rewritten};
use writer::{Feeds, Writer};

pub use open::Place;
pub use writer::CommitObserver;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Newest events kept of one workflow (somewhat more for a moment).
    pub events_per_workflow: u32,
    /// Newest events kept in all (somewhat more for a moment).
    pub events_total: u32,
}

/// The store in one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    recent: Recent,
    changes: broadcast::Sender<Change>,
    objects: watch::Sender<i64>,
    retention: Retention,
    /// Held until the store is dropped: the lock and, for a temporary store, the directory.
    _place: open::Held,
}

impl SqliteStore {
    /// Opens, locks and if need be migrates the data file. Blocks; `observer` is told of every commit.
    ///
    /// # Errors
    /// [`StoreError`] names the file, the cause and what to do.
    pub fn open(place: &Place, retention: Retention, observer: Box<dyn CommitObserver>) -> Result<Self, StoreError> {
        let opened = open::open(place)?;
        let (changes, _) = broadcast::channel(super::SUBSCRIBER_LAG_MAX);
        let recent = Recent::default();
        let (objects, _) = watch::channel(object_events::last_sequence(&opened.connection)?);
        let feeds = Feeds { changes: changes.clone(), objects: objects.clone() };
        let writer = Writer::start(opened.connection, feeds, recent.clone(), observer)?;
        let readers = Readers::new(opened.file);
        Ok(Self { writer, readers, recent, changes, objects, retention, _place: opened.held })
    }

    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.writer.is_closed() {
            return Err(StoreError::Closed);
        }
        self.readers.read(doing, read).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn object(&self, kind: ObjectKind, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        let key = key.clone();
        self.read("read an object", move |db| objects::get(db, kind, &key)).await
    }

    async fn objects(&self, kind: ObjectKind, namespace: Option<&str>) -> Result<Vec<StoredObject>, StoreError> {
        let namespace = namespace.map(str::to_owned);
        self.read("list objects", move |db| objects::list(db, kind, namespace.as_deref())).await
    }

    async fn apply_object(
        &self,
        kind: ObjectKind,
        key: &ObjectKey,
        json: String,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let key = key.clone();
        self.writer
            .write("store an object", move |db, written| objects::apply(db, kind, &key, &json, now, written))
            .await
    }

    async fn delete_object(&self, kind: ObjectKind, key: &ObjectKey, now: Timestamp) -> Result<bool, StoreError> {
        let key = key.clone();
        self.writer.write("delete an object", move |db, written| objects::delete(db, kind, &key, now, written)).await
    }

    async fn object_events(&self, after: i64, limit: usize) -> Result<Vec<ObjectEvent>, StoreError> {
        self.read("read events of objects", move |db| object_events::page(db, after, limit)).await
    }

    fn subscribe_objects(&self) -> watch::Receiver<i64> {
        self.objects.subscribe()
    }

    async fn put_data(&self, id: &WorkflowId, data: NewData, keep: u32) -> Result<Option<i64>, StoreError> {
        let id = id.clone();
        self.writer.write("store a workflow's data", move |db, _| data::put(db, &id, &data, keep)).await
    }

    async fn data(&self, id: &WorkflowId, version: i64) -> Result<Option<StoredData>, StoreError> {
        let id = id.clone();
        self.read("read a workflow's data", move |db| data::get(db, &id, version)).await
    }

    async fn workflow(&self, id: &WorkflowId) -> Result<Option<StoredWorkflow>, StoreError> {
        if self.writer.is_closed() {
            return Err(StoreError::Closed);
        }
        if let Some(recent) = self.recent.get(id) {
            return Ok(Some(StoredWorkflow::clone(&recent)));
        }
        let id = id.clone();
        self.read("read a workflow", move |db| workflows::get(db, &id)).await
    }

    async fn workflows(&self, filter: &WorkflowFilter) -> Result<(Vec<StoredWorkflow>, i64), StoreError> {
        let filter = filter.clone();
        self.read("list workflows", move |db| Ok((workflows::list(db, &filter)?, events::last_sequence(db)?))).await
    }

    async fn open_workflows_of(&self, worker: &WorkerId) -> Result<Vec<StoredWorkflow>, StoreError> {
        let worker = worker.clone();
        self.read("find a worker's workflows", move |db| workflows::open_of(db, &worker)).await
    }

    async fn create_workflow(
        &self,
        workflow: Workflow,
        manifest_json: String,
        events: Vec<WorkflowEvent>,
    ) -> Result<Created, StoreError> {
        let retention = self.retention;
        self.writer
            .write("store a workflow", move |db, written| {
                let Some((stored, bytes)) = workflows::create(db, workflow, manifest_json)? else {
                    return Ok(Created::Exists);
                };
                written.workflows.push(rewritten(&stored, bytes));
                let (key, at) = (key_of(&stored.workflow.id), stored.workflow.created_at);
                let (change, manifest) = (ObjectChange::Created, &stored.manifest_json);
                object_events::append(db, "Workflow", &key, change, manifest, at, written)?;
                events::append(db, events, Some(&stored), retention, written)?;
                Ok(Created::Stored(stored))
            })
            .await
    }

    async fn put_workflow(
        &self,
        workflow: Workflow,
        version: i64,
        events: Vec<WorkflowEvent>,
    ) -> Result<Put, StoreError> {
        let retention = self.retention;
        self.writer
            .write("store a workflow", move |db, written| {
                let Some((stored, bytes)) = workflows::put(db, workflow, version)? else { return Ok(Put::Conflict) };
                written.workflows.push(rewritten(&stored, bytes));
                events::append(db, events, Some(&stored), retention, written)?;
                Ok(Put::Stored)
            })
            .await
    }

    async fn delete_workflow(
        &self,
        id: &WorkflowId,
        version: i64,
        tombstone: Option<Tombstone>,
        event: WorkflowEvent,
    ) -> Result<Put, StoreError> {
        let (id, retention) = (id.clone(), self.retention);
        self.writer
            .write("delete a workflow", move |db, written| {
                let Some(manifest) = workflows::delete(db, &id, version)? else { return Ok(Put::Conflict) };
                let change = ObjectChange::Deleted;
                object_events::append(db, "Workflow", &key_of(&id), change, &manifest, event.at, written)?;
                written.workflows.push(Rewritten { id, now: None });
                if let Some(tombstone) = tombstone {
                    workflows::bury(db, &tombstone, event.at)?;
                }
                events::append(db, vec![event], None, retention, written)?;
                Ok(Put::Stored)
            })
            .await
    }

    async fn is_tombstone(&self, tombstone: &Tombstone) -> Result<bool, StoreError> {
        let tombstone = tombstone.clone();
        self.read("look for a deleted action", move |db| workflows::is_buried(db, &tombstone)).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<WorkflowId>, StoreError> {
        self.read("find workflows past their deadline", move |db| workflows::due(db, now, limit)).await
    }

    async fn next_deadline(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read("find the next deadline", workflows::next_deadline).await
    }

    async fn count_by_state(&self) -> Result<Vec<StateCount>, StoreError> {
        self.read("count workflows", workflows::count_by_state).await
    }

    async fn append_event(&self, event: WorkflowEvent) -> Result<(), StoreError> {
        let retention = self.retention;
        self.writer
            .write("store an event", move |db, written| {
                if event.kind == "refused" && events::repeats_newest(db, &event)? {
                    return Ok(());
                }
                events::append(db, vec![event], None, retention, written)
            })
            .await
    }

    async fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
        let filter = filter.clone();
        self.read("read events", move |db| events::page(db, &filter)).await
    }

    fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    async fn see_workers(&self, seen: Vec<WorkerSeen>) -> Result<(), StoreError> {
        self.writer.write("store sights of workers", move |db, _| workers::see(db, &seen)).await
    }

    async fn worker(&self, id: &WorkerId) -> Result<Option<StoredWorker>, StoreError> {
        let id = id.clone();
        self.read("read a worker", move |db| workers::get(db, &id)).await
    }

    async fn workers(&self) -> Result<Vec<StoredWorker>, StoreError> {
        self.read("list workers", workers::list).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.writer.write("write to the data file", |db, _| schema::probe(db)).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn key_of(id: &WorkflowId) -> ObjectKey {
    ObjectKey { namespace: id.namespace().to_owned(), name: id.name().to_owned() }
}

/// Nothing more happens to a workflow that ended: it need not be kept at hand.
fn rewritten(stored: &Arc<StoredWorkflow>, bytes: usize) -> Rewritten {
    let open = !stored.workflow.state.is_terminal();
    Rewritten { id: stored.workflow.id.clone(), now: open.then(|| (Arc::clone(stored), bytes)) }
}

/// Microseconds since 1970, as times are stored.
fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The time of stored microseconds; out of range (a damaged value) becomes 1970.
fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
