//! What every store must do. `store_contract!(name, make)` runs all of it over the stores that `make` gives.
//!
//! Stores under this suite keep [`EVENTS_PER_WORKFLOW`] events of a workflow.

use tink_workflow::{ActionState, WorkflowSpec};

use super::*;

/// How many events the store under test keeps of a workflow.
pub const EVENTS_PER_WORKFLOW: u32 = 10;

/// A moment, `seconds` into the test.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_800_000_000 + seconds, 0).unwrap()
}

pub fn worker(id: &str) -> WorkerId {
    WorkerId::parse(id).unwrap()
}

pub fn id(name: &str) -> WorkflowId {
    WorkflowId::new("default", name).unwrap()
}

/// A workflow of tasks, each `(worker, number of actions)`, with ids that hold its name.
pub fn workflow(name: &str, created_s: i64, tasks: &[(&str, usize)]) -> Workflow {
    let tasks: Vec<_> = tasks
        .iter()
        .enumerate()
        .map(|(nth, (worker, actions))| {
            let actions: Vec<_> =
                (0..*actions).map(|nth| serde_json::json!({"name": format!("a{nth}"), "image": "i"})).collect();
            serde_json::json!({"name": format!("t{nth}"), "worker": worker, "actions": actions})
        })
        .collect();
    let spec = serde_json::json!({"name": name, "global_timeout_s": 100, "tasks": tasks});
    let spec: WorkflowSpec = serde_json::from_value(spec).unwrap();
    let mut nth = 0;
    Workflow::from_spec(id(name), &spec, at(created_s), || {
        nth += 1;
        format!("{name}-{created_s}-{nth}")
    })
    .unwrap()
}

pub fn event(workflow: &str, kind: &'static str, message: &str) -> WorkflowEvent {
    WorkflowEvent {
        at: at(0),
        workflow: id(workflow),
        kind,
        message: message.to_owned(),
        worker: None,
        action: None,
        state: "",
    }
}

async fn create(store: &dyn Store, workflow: Workflow) -> StoredWorkflow {
    let created = event(workflow.id.name(), "created", "");
    match store.create_workflow(workflow, "{}".to_owned(), vec![created]).await.unwrap() {
        Created::Stored(stored) => (*stored).clone(),
        Created::Exists => panic!("exists"),
    }
}

async fn events_of(store: &dyn Store, workflow: Option<&str>, after: i64) -> EventPage {
    let filter = EventFilter { workflow: workflow.map(id), after, limit: 1000, newest: false };
    store.events(&filter).await.unwrap()
}

fn ended(mut workflow: Workflow) -> Workflow {
    workflow.state = tink_workflow::WorkflowState::Success;
    workflow
}

/// An object is created, then updated, then unchanged, with its version and times.
pub async fn an_object_is_created_updated_and_left_unchanged(store: &dyn Store) {
    let key = ObjectKey { namespace: "n".into(), name: "o".into() };
    let kind = ObjectKind::Template;
    assert_eq!(store.object(kind, &key).await.unwrap(), None);
    let mut outcomes = Vec::new();
    for (json, when) in [("1", 1), ("1", 2), ("2", 3)] {
        let applied = store.apply_object(kind, &key, json.to_owned(), at(when)).await.unwrap();
        outcomes.push((applied.outcome, applied.object.version, applied.object.created_at, applied.object.updated_at));
        assert_eq!(store.object(kind, &key).await.unwrap(), Some(applied.object));
    }
    assert_eq!(
        outcomes,
        [
            (Outcome::Created, 1, at(1), at(1)),
            (Outcome::Unchanged, 1, at(1), at(1)),
            (Outcome::Updated, 2, at(1), at(3)),
        ]
    );
    assert_eq!(store.object(ObjectKind::Hardware, &key).await.unwrap(), None, "kinds are apart");
    assert!(store.delete_object(kind, &key, at(4)).await.unwrap());
    assert!(!store.delete_object(kind, &key, at(4)).await.unwrap());
    assert_eq!(store.object(kind, &key).await.unwrap(), None);
}

/// Objects are listed by namespace and name.
pub async fn objects_are_listed_in_order(store: &dyn Store) {
    for (namespace, name) in [("b", "x"), ("a", "y"), ("a", "x")] {
        let key = ObjectKey { namespace: namespace.into(), name: name.into() };
        store.apply_object(ObjectKind::Hardware, &key, String::new(), at(0)).await.unwrap();
    }
    let names = |objects: Vec<StoredObject>| objects.iter().map(|o| o.key.to_string()).collect::<Vec<_>>();
    assert_eq!(names(store.objects(ObjectKind::Hardware, None).await.unwrap()), ["a/x", "a/y", "b/x"]);
    assert_eq!(names(store.objects(ObjectKind::Hardware, Some("a")).await.unwrap()), ["a/x", "a/y"]);
}

/// A change at an old version changes nothing, not even events.
pub async fn a_workflow_is_put_only_at_its_version(store: &dyn Store) {
    let stored = create(store, workflow("w", 0, &[("m", 1)])).await;
    assert_eq!(stored.version, 1);
    let mut changed = stored.workflow.clone();
    changed.message = "changed".into();
    let put = |workflow: &Workflow, version| {
        store.put_workflow(workflow.clone(), version, vec![event("w", "workflow", "put")])
    };
    assert_eq!(put(&changed, 1).await.unwrap(), Put::Stored);
    assert_eq!(put(&stored.workflow, 1).await.unwrap(), Put::Conflict);
    let now = store.workflow(&id("w")).await.unwrap().unwrap();
    assert_eq!((now.version, &now.workflow, &*now.manifest_json), (2, &changed, "{}"));
    assert_eq!(events_of(store, None, 0).await.events.len(), 2, "created and one put");
    assert_eq!(put(&workflow("other", 0, &[]), 1).await.unwrap(), Put::Conflict, "there is none");
}

/// An id is taken once.
pub async fn a_second_workflow_of_the_same_id_is_not_stored(store: &dyn Store) {
    let first = create(store, workflow("w", 0, &[("m", 1)])).await;
    let again = store.create_workflow(workflow("w", 5, &[("m", 2)]), String::new(), vec![event("w", "created", "")]);
    assert!(matches!(again.await.unwrap(), Created::Exists));
    assert_eq!(store.workflow(&id("w")).await.unwrap(), Some(first));
    assert_eq!(events_of(store, None, 0).await.events.len(), 1);
}

/// Of many changes at one version exactly one wins.
pub async fn of_many_changes_at_one_version_one_wins(store: &dyn Store) {
    let stored = create(store, workflow("w", 0, &[("m", 1)])).await;
    let puts = (0..32).map(|nth| {
        let mut changed = stored.workflow.clone();
        changed.message = nth.to_string();
        store.put_workflow(changed, 1, vec![event("w", "workflow", &nth.to_string())])
    });
    let won = futures_util::future::join_all(puts).await.into_iter().filter(|put| matches!(put, Ok(Put::Stored)));
    assert_eq!(won.count(), 1);
    let events = events_of(store, None, 0).await.events;
    let message = store.workflow(&id("w")).await.unwrap().unwrap().workflow.message;
    assert_eq!((events.len(), &events[1].message), (2, &message));
}

/// A worker's workflows are found oldest first, and no longer when they ended.
pub async fn a_workers_open_workflows_are_found_oldest_first(store: &dyn Store) {
    create(store, workflow("young", 2, &[("m", 1), ("n", 1)])).await;
    let old = create(store, workflow("old", 1, &[("n", 1), ("m", 1), ("m", 1)])).await;
    create(store, workflow("other", 0, &[("n", 1)])).await;
    create(store, ended(workflow("stillborn", 0, &[("m", 1)]))).await;
    let open = async || {
        let open = store.open_workflows_of(&worker("m")).await.unwrap();
        open.iter().map(|stored| stored.workflow.id.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(open().await, ["old", "young"]);
    store.put_workflow(ended(old.workflow), 1, Vec::new()).await.unwrap();
    assert_eq!(open().await, ["young"]);
    let filter = WorkflowFilter { worker: Some(worker("m")), ..Default::default() };
    let (all, _) = store.workflows(&filter).await.unwrap();
    assert_eq!(all.len(), 3, "ended ones are still listed");
}

/// Lists restrict by id, namespace and state, oldest first.
pub async fn workflows_are_listed_by_what_is_asked(store: &dyn Store) {
    create(store, workflow("b", 1, &[("m", 1)])).await;
    create(store, ended(workflow("a", 1, &[("m", 1)]))).await;
    create(store, workflow("z", 0, &[("m", 1)])).await;
    let names = async |filter: WorkflowFilter| {
        let (found, _) = store.workflows(&filter).await.unwrap();
        found.iter().map(|stored| stored.workflow.id.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(WorkflowFilter::default()).await, ["z", "a", "b"]);
    let states = vec![tink_workflow::WorkflowState::Success, tink_workflow::WorkflowState::Failed];
    assert_eq!(names(WorkflowFilter { states, ..Default::default() }).await, ["a"]);
    assert_eq!(names(WorkflowFilter { id: Some(id("b")), ..Default::default() }).await, ["b"]);
    assert!(names(WorkflowFilter { namespace: Some("other".into()), ..Default::default() }).await.is_empty());
    let mut counts = store.count_by_state().await.unwrap();
    counts.sort_by(|a, b| a.state.cmp(&b.state));
    let count = |state: &str, count| StateCount { state: state.into(), count };
    assert_eq!(counts, [count("PENDING", 2), count("SUCCESS", 1)]);
}

/// The sequence that comes with a list is that of the newest event the list reflects.
pub async fn a_list_tells_which_events_it_reflects(store: &dyn Store) {
    assert_eq!(store.workflows(&WorkflowFilter::default()).await.unwrap().1, 0);
    create(store, workflow("w", 0, &[("m", 1)])).await;
    let (_, sequence) = store.workflows(&WorkflowFilter::default()).await.unwrap();
    assert_eq!(sequence, events_of(store, None, 0).await.events.last().unwrap().sequence);
}

/// Deadlines are known from the store alone, and end with their workflow.
pub async fn deadlines_end_with_their_workflow(store: &dyn Store) {
    let mut stored = create(store, workflow("w", 0, &[("m", 1)])).await;
    assert_eq!(store.next_deadline().await.unwrap(), None, "it has not started");
    stored.workflow.started_at = Some(at(10));
    store.put_workflow(stored.workflow.clone(), 1, Vec::new()).await.unwrap();
    assert_eq!(store.next_deadline().await.unwrap(), Some(at(110)));
    assert_eq!(store.due(at(109), 9).await.unwrap(), []);
    assert_eq!(store.due(at(110), 9).await.unwrap(), [id("w")]);
    store.put_workflow(ended(stored.workflow), 2, Vec::new()).await.unwrap();
    assert_eq!((store.next_deadline().await.unwrap(), store.due(at(999), 9).await.unwrap()), (None, vec![]));
}

/// A subscriber sees every change after it subscribed, with the workflow after it.
pub async fn a_subscriber_sees_every_change_in_order(store: &dyn Store) {
    create(store, workflow("before", 0, &[])).await;
    let mut feed = store.subscribe();
    let stored = create(store, workflow("w", 0, &[("m", 1)])).await;
    store.put_workflow(stored.workflow, 1, vec![event("w", "action", "1"), event("w", "workflow", "2")]).await.unwrap();
    store.append_event(event("w", "refused", "3")).await.unwrap();
    let mut last = 0;
    for (kind, version) in [("created", Some(1)), ("action", Some(2)), ("workflow", Some(2)), ("refused", None)] {
        let change = feed.recv().await.unwrap();
        assert_eq!((change.event.kind.as_str(), change.workflow.map(|stored| stored.version)), (kind, version));
        assert!(change.event.sequence > last);
        last = change.event.sequence;
    }
    assert!(feed.try_recv().is_err());
}

/// Too many events: the oldest go, and a reader that asks for them is told.
pub async fn old_events_are_dropped_and_the_gap_is_told(store: &dyn Store) {
    create(store, workflow("w", 0, &[])).await;
    create(store, workflow("quiet", 0, &[])).await;
    for nth in 0..200 {
        store.append_event(event("w", "offered", &nth.to_string())).await.unwrap();
    }
    let page = events_of(store, Some("w"), 0).await;
    let kept = page.events.len();
    assert!((EVENTS_PER_WORKFLOW as usize..200).contains(&kept), "{kept}");
    assert!(page.pruned);
    assert_eq!(page.events.last().unwrap().message, "199");
    assert!(!events_of(store, Some("w"), page.events[0].sequence - 1).await.pruned, "nothing after it is missing");
    let quiet = events_of(store, Some("quiet"), 0).await;
    assert_eq!((quiet.events.len(), quiet.pruned), (1, false), "one noisy workflow costs no other its history");
    let newest = EventFilter { workflow: Some(id("w")), after: 0, limit: 2, newest: true };
    let newest: Vec<_> = store.events(&newest).await.unwrap().events.iter().map(|e| e.message.clone()).collect();
    assert_eq!(newest, ["198", "199"]);
}

/// The same refusal again is no news.
pub async fn a_repeated_refusal_is_kept_once(store: &dyn Store) {
    for message in ["a", "a", "b", "a"] {
        store.append_event(event("w", "refused", message)).await.unwrap();
    }
    let messages: Vec<_> = events_of(store, None, 0).await.events.into_iter().map(|event| event.message).collect();
    assert_eq!(messages, ["a", "b", "a"]);
}

/// A deleted workflow is gone, its events and the action in hands are known.
pub async fn a_deleted_workflow_leaves_events_and_a_tombstone(store: &dyn Store) {
    let stored = create(store, workflow("w", 0, &[("m", 1)])).await;
    let action = stored.workflow.tasks[0].actions[0].id.clone();
    let tombstone = Tombstone { workflow: id("w"), worker: worker("m"), action };
    let delete = |version| {
        store.delete_workflow(&stored.workflow.id, version, Some(tombstone.clone()), event("w", "deleted", ""))
    };
    assert_eq!(delete(7).await.unwrap(), Put::Conflict);
    assert!(!store.is_tombstone(&tombstone).await.unwrap());
    assert_eq!(delete(1).await.unwrap(), Put::Stored);
    assert!(store.is_tombstone(&tombstone).await.unwrap());
    assert!(!store.is_tombstone(&Tombstone { worker: worker("n"), ..tombstone.clone() }).await.unwrap());
    assert_eq!(store.workflow(&id("w")).await.unwrap(), None);
    assert_eq!(store.open_workflows_of(&worker("m")).await.unwrap(), []);
    assert_eq!(events_of(store, Some("w"), 0).await.events.last().unwrap().kind, "deleted");
    assert_eq!(delete(1).await.unwrap(), Put::Conflict, "it is gone");
    create(store, workflow("w", 9, &[("m", 1)])).await;
    assert_eq!(store.open_workflows_of(&worker("m")).await.unwrap().len(), 1);
}

/// The first sight of a worker stays, the last counts, attributes stay until others come.
pub async fn a_workers_first_sight_is_kept(store: &dyn Store) {
    let seen = |at, address: &str, attributes: Option<&str>| WorkerSeen {
        id: worker("m"),
        at,
        address: address.into(),
        attributes_json: attributes.map(str::to_owned),
    };
    store.see_workers(vec![seen(at(1), "a", Some("{}"))]).await.unwrap();
    store.see_workers(vec![seen(at(2), "b", None)]).await.unwrap();
    let expected = StoredWorker {
        id: worker("m"),
        first_seen: at(1),
        last_seen: at(2),
        address: "b".into(),
        attributes_json: "{}".into(),
    };
    assert_eq!(store.worker(&worker("m")).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(store.worker(&worker("n")).await.unwrap(), None);
    assert_eq!(store.workers().await.unwrap(), [expected]);
}

/// Everything of a workflow comes back as it was put.
pub async fn a_workflow_comes_back_as_it_was(store: &dyn Store) {
    let mut whole = workflow("w", 0, &[("m", 2)]);
    whole.tasks[0].environment.insert("K".into(), "v\"\u{0}\u{1F980}".into());
    whole.tasks[0].actions[0].state = ActionState::Running;
    whole.tasks[0].actions[0].message = "line\nline".into();
    whole.started_at = Some(at(3));
    create(store, whole.clone()).await;
    assert_eq!(store.workflow(&whole.id).await.unwrap().unwrap().workflow, whole);
}

/// Versions of a workflow's data count from 1; old data goes, its metadata stays; all goes with the workflow.
pub async fn a_workflows_data_is_kept_in_versions(store: &dyn Store) {
    let new = |nth: u8| NewData { metadata: vec![b'm', nth], data: vec![0xff, 0, nth] };
    assert_eq!(store.put_data(&id("w"), new(1), 2).await.unwrap(), None, "there is no such workflow");
    create(store, workflow("w", 0, &[("m", 1)])).await;
    assert_eq!(store.data(&id("w"), 0).await.unwrap(), None);
    for nth in 1..=4 {
        assert_eq!(store.put_data(&id("w"), new(nth), 2).await.unwrap(), Some(i64::from(nth)));
    }
    assert_eq!(store.put_data(&id("w"), new(4), 2).await.unwrap(), Some(4), "the same again");
    let kept = async |version| store.data(&id("w"), version).await.unwrap();
    let whole = |nth: u8| StoredData { version: nth.into(), metadata: new(nth).metadata, data: Some(new(nth).data) };
    assert_eq!((kept(0).await, kept(4).await, kept(3).await), (Some(whole(4)), Some(whole(4)), Some(whole(3))));
    assert_eq!(kept(2).await, Some(StoredData { data: None, ..whole(2) }));
    assert_eq!(kept(5).await, None);
    store.delete_workflow(&id("w"), 1, None, event("w", "deleted", "")).await.unwrap();
    create(store, workflow("w", 1, &[("m", 1)])).await;
    assert_eq!(kept(0).await, None, "another workflow of the same name has data of its own");
    for _ in 0..=METADATA_VERSIONS_MAX {
        store.put_data(&id("w"), new(1), 1).await.unwrap();
        store.put_data(&id("w"), new(2), 1).await.unwrap();
    }
    let newest = kept(0).await.unwrap().version;
    assert!(kept(newest - METADATA_VERSIONS_MAX + 1).await.is_some());
    assert_eq!(kept(newest - METADATA_VERSIONS_MAX).await, None);
}

/// Who watches objects reads every change in order, and is woken by new ones.
pub async fn changes_of_objects_are_told_in_order(store: &dyn Store) {
    let mut newest = store.subscribe_objects();
    let key = ObjectKey { namespace: "default".into(), name: "o".into() };
    for (json, when) in [("1", 1), ("1", 2), ("2", 3)] {
        store.apply_object(ObjectKind::Hardware, &key, json.to_owned(), at(when)).await.unwrap();
    }
    store.delete_object(ObjectKind::Hardware, &key, at(4)).await.unwrap();
    store.delete_object(ObjectKind::Hardware, &key, at(5)).await.unwrap();
    create(store, workflow("w", 6, &[("m", 1)])).await;
    store.delete_workflow(&id("w"), 1, None, event("w", "deleted", "")).await.unwrap();
    let events = store.object_events(0, 100).await.unwrap();
    let told: Vec<_> =
        events.iter().map(|e| (e.kind.as_str(), e.key.name.as_str(), e.change, e.json.as_str())).collect();
    assert_eq!(
        told,
        [
            ("Hardware", "o", ObjectChange::Created, "1"),
            ("Hardware", "o", ObjectChange::Updated, "2"),
            ("Hardware", "o", ObjectChange::Deleted, "2"),
            ("Workflow", "w", ObjectChange::Created, "{}"),
            ("Workflow", "w", ObjectChange::Deleted, "{}"),
        ]
    );
    assert!(events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert_eq!(*newest.borrow_and_update(), events[4].sequence);
    assert_eq!(store.object_events(events[2].sequence, 1).await.unwrap(), events[3..4]);
}

/// Old events of objects go.
pub async fn events_of_objects_are_forgotten_after_an_hour(store: &dyn Store) {
    let key = |nth: i64| ObjectKey { namespace: "default".into(), name: nth.to_string() };
    for nth in 0..40 {
        store.apply_object(ObjectKind::Template, &key(nth), "x".into(), at(nth)).await.unwrap();
    }
    for nth in 40..80 {
        let later = at(OBJECT_EVENTS_AGE_MAX_S + 1000);
        store.apply_object(ObjectKind::Template, &key(nth), "x".into(), later).await.unwrap();
    }
    let kept = store.object_events(0, 1000).await.unwrap();
    assert!((1..=40).contains(&kept.len()) && kept.iter().all(|event| event.at > at(100)), "{}", kept.len());
}

/// A closed store says so, and what it accepted before is done.
pub async fn a_closed_store_says_so(store: &dyn Store) {
    store.probe().await.unwrap();
    store.close().await;
    store.close().await;
    assert!(matches!(store.probe().await, Err(StoreError::Closed)));
    assert!(matches!(store.workflow(&id("w")).await, Err(StoreError::Closed)));
}

macro_rules! rules {
    ($($rule:ident,)*) => {
        /// Runs the contract over the stores that `$make` gives: an expression of a value that is kept and derefs to a store.
        macro_rules! store_contract {
            ($name:ident, $make:expr) => {
                mod $name {
                    use super::*;
                    $(
                        #[tokio::test]
                        async fn $rule() {
                            let store = $make;
                            $crate::store::contract::$rule(&*store).await;
                        }
                    )*
                }
            };
        }
    };
}

rules! {
    an_object_is_created_updated_and_left_unchanged,
    objects_are_listed_in_order,
    a_workflow_is_put_only_at_its_version,
    a_second_workflow_of_the_same_id_is_not_stored,
    of_many_changes_at_one_version_one_wins,
    a_workers_open_workflows_are_found_oldest_first,
    workflows_are_listed_by_what_is_asked,
    a_list_tells_which_events_it_reflects,
    deadlines_end_with_their_workflow,
    a_subscriber_sees_every_change_in_order,
    old_events_are_dropped_and_the_gap_is_told,
    a_repeated_refusal_is_kept_once,
    a_deleted_workflow_leaves_events_and_a_tombstone,
    a_workers_first_sight_is_kept,
    a_workflow_comes_back_as_it_was,
    a_workflows_data_is_kept_in_versions,
    changes_of_objects_are_told_in_order,
    events_of_objects_are_forgotten_after_an_hour,
    a_closed_store_says_so,
}

pub(crate) use store_contract;
