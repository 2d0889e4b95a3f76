//! A store in memory, over which simulation rules: it says how long a commit takes, whether it fails, and sees every one.
//!
//! It keeps the contract for workflows, events and workers, with everything ever stored; hardware, templates and workflow
//! data, which no worker meets, are not kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tink_mutation::Mutation;

use super::*;

/// What befalls a store.
#[async_trait]
pub trait Weather: Send + Sync + 'static {
    /// Before a change is committed; an error fails it, and nothing is stored.
    async fn before(&self, doing: &'static str) -> Result<(), StoreError>;
    /// After it was committed; an error fails the call all the same.
    async fn after(&self, doing: &'static str) -> Result<(), StoreError>;
    /// A workflow was committed: as it was, and as it is.
    fn committed(&self, before: Option<&Workflow>, after: Option<&Workflow>);
}

/// See the module.
#[derive(Clone)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    changes: broadcast::Sender<Change>,
    objects: watch::Sender<i64>,
    weather: Arc<dyn Weather>,
}

#[derive(Default)]
struct Kept {
    workflows: BTreeMap<WorkflowId, Arc<StoredWorkflow>>,
    events: Vec<Arc<StoredEvent>>,
    tombstones: Vec<Tombstone>,
    workers: BTreeMap<WorkerId, StoredWorker>,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(weather: Arc<dyn Weather>) -> Self {
        let (changes, _) = broadcast::channel(SUBSCRIBER_LAG_MAX);
        Self { kept: Arc::default(), changes, objects: watch::Sender::new(0), weather }
    }

    /// The workflow as it is committed now.
    #[cfg(feature = "simulation")]
    pub fn now(&self, id: &WorkflowId) -> Option<Arc<StoredWorkflow>> {
        self.lock().workflows.get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Kept>, StoreError> {
        let kept = self.lock();
        if kept.closed { Err(StoreError::Closed) } else { Ok(kept) }
    }

    /// Commits a change, with all that may befall it.
    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Self) -> Result<T, StoreError> + Send,
        at_once: impl FnOnce() -> Option<T>,
    ) -> Result<T, StoreError> {
        if tink_mutation::is(Mutation::AcknowledgeBeforeCommit)
            && let Some(answer) = at_once()
        {
            // What becomes of the commit is nobody's business any more: a crash in that moment loses it.
            if self.weather.before(doing).await.is_ok() {
                drop(change(self));
            }
            return Ok(answer);
        }
        self.weather.before(doing).await?;
        let done = change(self)?;
        self.weather.after(doing).await?;
        Ok(done)
    }

    fn record(&self, kept: &mut Kept, events: Vec<WorkflowEvent>, workflow: Option<&Arc<StoredWorkflow>>) {
        for event in events {
            let sequence = i64::try_from(kept.events.len()).unwrap_or(i64::MAX).saturating_add(1);
            let event = Arc::new(StoredEvent {
                sequence,
                at: event.at,
                workflow: event.workflow,
                kind: event.kind.to_owned(),
                message: event.message,
                worker: event.worker.map(String::from).unwrap_or_default(),
                action: event.action.map(String::from).unwrap_or_default(),
                state: event.state.to_owned(),
            });
            kept.events.push(Arc::clone(&event));
            // An error means that nobody listens.
            let _ = self.changes.send(Change { event, workflow: workflow.cloned() });
        }
    }

    fn put(&self, workflow: Workflow, version: i64, events: Vec<WorkflowEvent>) -> Result<Put, StoreError> {
        let mut kept = self.open()?;
        let Some(before) = kept.workflows.get(&workflow.id).cloned() else { return Ok(Put::Conflict) };
        if before.version != version && !tink_mutation::is(Mutation::IgnoreVersion) {
            return Ok(Put::Conflict);
        }
        let after = Arc::new(StoredWorkflow {
            workflow,
            version: before.version + 1,
            manifest_json: Arc::clone(&before.manifest_json),
        });
        kept.workflows.insert(after.workflow.id.clone(), Arc::clone(&after));
        self.record(&mut kept, events, Some(&after));
        drop(kept);
        self.weather.committed(Some(&before.workflow), Some(&after.workflow));
        Ok(Put::Stored)
    }
}

const NOT_KEPT: StoreError = StoreError::Busy { doing: "keep an object in memory" };

fn is_open(workflow: &Workflow) -> bool {
    !workflow.state.is_terminal()
}

#[async_trait]
impl Store for MemoryStore {
    async fn object(&self, _: ObjectKind, _: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        Ok(None)
    }

    async fn objects(&self, _: ObjectKind, _: Option<&str>) -> Result<Vec<StoredObject>, StoreError> {
        Ok(Vec::new())
    }

    async fn apply_object(&self, _: ObjectKind, _: &ObjectKey, _: String, _: Timestamp) -> Result<Applied, StoreError> {
        Err(NOT_KEPT)
    }

    async fn delete_object(&self, _: ObjectKind, _: &ObjectKey, _: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn object_events(&self, _: i64, _: usize) -> Result<Vec<ObjectEvent>, StoreError> {
        Ok(Vec::new())
    }

    fn subscribe_objects(&self) -> watch::Receiver<i64> {
        self.objects.subscribe()
    }

    async fn put_data(&self, _: &WorkflowId, _: NewData, _: u32) -> Result<Option<i64>, StoreError> {
        Err(NOT_KEPT)
    }

    async fn data(&self, _: &WorkflowId, _: i64) -> Result<Option<StoredData>, StoreError> {
        Ok(None)
    }

    async fn workflow(&self, id: &WorkflowId) -> Result<Option<StoredWorkflow>, StoreError> {
        Ok(self.open()?.workflows.get(id).map(|stored| StoredWorkflow::clone(stored)))
    }

    async fn workflows(&self, filter: &WorkflowFilter) -> Result<(Vec<StoredWorkflow>, i64), StoreError> {
        let kept = self.open()?;
        let wanted = |workflow: &Workflow| {
            filter.id.as_ref().is_none_or(|id| *id == workflow.id)
                && filter.namespace.as_ref().is_none_or(|namespace| namespace == workflow.id.namespace())
                && filter.worker.as_ref().is_none_or(|worker| workflow.tasks.iter().any(|task| task.worker == *worker))
                && (filter.states.is_empty() || filter.states.contains(&workflow.state))
        };
        let mut found: Vec<_> = kept.workflows.values().filter(|stored| wanted(&stored.workflow)).collect();
        found.sort_by_key(|stored| (stored.workflow.created_at, stored.workflow.id.clone()));
        let found = found.into_iter().map(|stored| StoredWorkflow::clone(stored)).collect();
        Ok((found, kept.events.last().map_or(0, |event| event.sequence)))
    }

    async fn open_workflows_of(&self, worker: &WorkerId) -> Result<Vec<StoredWorkflow>, StoreError> {
        let filter = WorkflowFilter { worker: Some(worker.clone()), ..WorkflowFilter::default() };
        let (mut found, _) = self.workflows(&filter).await?;
        found.retain(|stored| is_open(&stored.workflow));
        Ok(found)
    }

    async fn create_workflow(
        &self,
        workflow: Workflow,
        manifest_json: String,
        events: Vec<WorkflowEvent>,
    ) -> Result<Created, StoreError> {
        let create = |store: &Self| {
            let mut kept = store.open()?;
            if kept.workflows.contains_key(&workflow.id) {
                return Ok(Created::Exists);
            }
            let stored = Arc::new(StoredWorkflow { workflow, version: 1, manifest_json: manifest_json.into() });
            kept.workflows.insert(stored.workflow.id.clone(), Arc::clone(&stored));
            store.record(&mut kept, events, Some(&stored));
            drop(kept);
            store.weather.committed(None, Some(&stored.workflow));
            Ok(Created::Stored(stored))
        };
        self.write("store a workflow", create, || None).await
    }

    async fn put_workflow(
        &self,
        workflow: Workflow,
        version: i64,
        events: Vec<WorkflowEvent>,
    ) -> Result<Put, StoreError> {
        self.write("store a workflow", |store| store.put(workflow, version, events), || Some(Put::Stored)).await
    }

    async fn delete_workflow(
        &self,
        id: &WorkflowId,
        version: i64,
        tombstone: Option<Tombstone>,
        event: WorkflowEvent,
    ) -> Result<Put, StoreError> {
        let delete = |store: &Self| {
            let mut kept = store.open()?;
            if kept.workflows.get(id).is_none_or(|stored| stored.version != version) {
                return Ok(Put::Conflict);
            }
            let before = kept.workflows.remove(id);
            kept.tombstones.extend(tombstone);
            store.record(&mut kept, vec![event], None);
            drop(kept);
            store.weather.committed(before.as_ref().map(|stored| &stored.workflow), None);
            Ok(Put::Stored)
        };
        self.write("delete a workflow", delete, || None).await
    }

    async fn is_tombstone(&self, tombstone: &Tombstone) -> Result<bool, StoreError> {
        Ok(self.open()?.tombstones.contains(tombstone))
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<WorkflowId>, StoreError> {
        let kept = self.open()?;
        let open = kept.workflows.values().map(|stored| &stored.workflow).filter(|workflow| is_open(workflow));
        let mut due: Vec<_> = open
            .filter_map(|workflow| workflow.deadline().map(|at| (at, workflow.id.clone())))
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort();
        Ok(due.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    async fn next_deadline(&self) -> Result<Option<Timestamp>, StoreError> {
        let kept = self.open()?;
        let open = kept.workflows.values().map(|stored| &stored.workflow).filter(|workflow| is_open(workflow));
        Ok(open.filter_map(Workflow::deadline).min())
    }

    async fn count_by_state(&self) -> Result<Vec<StateCount>, StoreError> {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        let kept = self.open()?;
        for stored in kept.workflows.values() {
            *counts.entry(stored.workflow.state.as_str()).or_default() += 1;
        }
        Ok(counts.into_iter().map(|(state, count)| StateCount { state: state.to_owned(), count }).collect())
    }

    async fn append_event(&self, event: WorkflowEvent) -> Result<(), StoreError> {
        let append = |store: &Self| {
            let mut kept = store.open()?;
            let newest = kept.events.iter().rev().find(|known| known.workflow == event.workflow);
            let repeats = newest.is_some_and(|known| known.kind == event.kind && known.message == event.message);
            if event.kind != "refused" || !repeats {
                store.record(&mut kept, vec![event], None);
            }
            Ok(())
        };
        self.write("store an event", append, || None).await
    }

    async fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
        let kept = self.open()?;
        let wanted = |event: &&Arc<StoredEvent>| {
            event.sequence > filter.after && filter.workflow.as_ref().is_none_or(|id| *id == event.workflow)
        };
        let mut events: Vec<_> = kept.events.iter().filter(wanted).map(|event| StoredEvent::clone(event)).collect();
        let over = events.len().saturating_sub(filter.limit);
        if filter.newest {
            events.drain(..over);
        } else {
            events.truncate(filter.limit);
        }
        Ok(EventPage { events, pruned: false })
    }

    fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    async fn see_workers(&self, seen: Vec<WorkerSeen>) -> Result<(), StoreError> {
        let mut kept = self.open()?;
        for seen in seen {
            let worker = kept.workers.entry(seen.id.clone()).or_insert_with(|| StoredWorker {
                id: seen.id,
                first_seen: seen.at,
                last_seen: seen.at,
                address: String::new(),
                attributes_json: String::new(),
            });
            worker.last_seen = worker.last_seen.max(seen.at);
            worker.address = seen.address;
            worker.attributes_json = seen.attributes_json.unwrap_or(std::mem::take(&mut worker.attributes_json));
        }
        Ok(())
    }

    async fn worker(&self, id: &WorkerId) -> Result<Option<StoredWorker>, StoreError> {
        Ok(self.open()?.workers.get(id).cloned())
    }

    async fn workers(&self) -> Result<Vec<StoredWorker>, StoreError> {
        Ok(self.open()?.workers.values().cloned().collect())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.open().map(drop)
    }

    async fn close(&self) {
        self.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    struct Calm;

    #[async_trait]
    impl Weather for Calm {
        async fn before(&self, _: &'static str) -> Result<(), StoreError> {
            Ok(())
        }
        async fn after(&self, _: &'static str) -> Result<(), StoreError> {
            Ok(())
        }
        fn committed(&self, _: Option<&Workflow>, _: Option<&Workflow>) {}
    }

    macro_rules! keeps {
        ($($rule:ident,)*) => {
            $(
                #[tokio::test]
                async fn $rule() {
                    contract::$rule(&MemoryStore::new(Arc::new(Calm))).await;
                }
            )*
        };
    }

    // The rules of what it keeps.
    keeps! {
        a_workflow_is_put_only_at_its_version,
        a_second_workflow_of_the_same_id_is_not_stored,
        of_many_changes_at_one_version_one_wins,
        a_workers_open_workflows_are_found_oldest_first,
        workflows_are_listed_by_what_is_asked,
        a_list_tells_which_events_it_reflects,
        deadlines_end_with_their_workflow,
        a_subscriber_sees_every_change_in_order,
        a_repeated_refusal_is_kept_once,
        a_deleted_workflow_leaves_events_and_a_tombstone,
        a_workers_first_sight_is_kept,
        a_workflow_comes_back_as_it_was,
        a_closed_store_says_so,
    }
}
