use std::collections::HashMap;

use proptest::prelude::*;
use tink_workflow::{ActionId, ActionState, WorkerId, WorkflowState};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::ManualClock;
use crate::store::contract::{id, worker, workflow};
use crate::store::failing::{FailingStore, Strike};
use crate::store::sqlite::{Place, Retention, SqliteStore};
use crate::store::{EventFilter, StoreError};

fn store() -> SharedStore {
    let retention = Retention { events_per_workflow: 1000, events_total: 100_000 };
    Arc::new(SqliteStore::open(&Place::Temporary, retention, Box::new(())).unwrap())
}

fn engine(store: SharedStore) -> (Engine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (Engine::new(store, Arc::clone(&clock) as Arc<dyn Clock>, Metrics::new(), LEASE), clock)
}

fn report(worker: &WorkerId, action: &ActionId, state: ActionState) -> Report {
    Report {
        worker: worker.clone(),
        action: action.clone(),
        state,
        started_at: None,
        stopped_at: None,
        duration: String::new(),
        message: String::new(),
    }
}

fn offered(offer: &Offer) -> (WorkflowId, WorkerId, ActionId) {
    let task = &offer.stored.workflow.tasks[offer.task];
    (offer.stored.workflow.id.clone(), task.worker.clone(), task.actions[offer.action].id.clone())
}

const LEASE: Duration = Duration::from_secs(60);

fn action_of(offered: Offered) -> Option<Offer> {
    match offered {
        Offered::Action(offer) => Some(*offer),
        Offered::Nothing => None,
        Offered::Held { holder, .. } => panic!("held by {holder}"),
    }
}

/// Asks for work as a process of which nothing is known.
async fn ask(engine: &Engine, name: &str) -> Option<Offer> {
    action_of(engine.offer(&worker(name), &Caller::default(), Look::AtArrival).await.unwrap())
}

async fn state(engine: &Engine, name: &str) -> WorkflowState {
    engine.store.workflow(&id(name)).await.unwrap().unwrap().workflow.state
}

async fn kinds(engine: &Engine) -> Vec<String> {
    let filter = EventFilter { limit: 10_000, ..Default::default() };
    engine.store.events(&filter).await.unwrap().events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_global_timeout_ends_a_workflow_also_after_a_restart() {
    let store = store();
    let (first, clock) = engine(Arc::clone(&store));
    first.create(workflow("w", 0, &[("m", 1)]), String::new()).await.unwrap();
    let (id, m, action) = offered(&ask(&first, "m").await.unwrap());
    first.report(&id, report(&m, &action, ActionState::Running), &Caller::default()).await.unwrap();
    drop(first);
    let second = Engine::new(store, Arc::clone(&clock) as Arc<dyn Clock>, Metrics::new(), LEASE);
    let mut feed = second.store.subscribe();
    let stop = CancellationToken::new();
    let ended = async {
        clock.advance(99);
        // Passes over the scheduler until the timer sleeps; it must not have ended anything.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(state(&second, "w").await, WorkflowState::Running);
        clock.advance(1);
        let change = feed.recv().await.unwrap();
        assert_eq!(change.workflow.unwrap().workflow.state, WorkflowState::Timeout);
        stop.cancel();
    };
    tokio::join!(run_timers(&second, stop.clone()), ended);
    // What the worker still had to say is recorded with its action; the workflow stays as it ended.
    second.report(&id, report(&m, &action, ActionState::Success), &Caller::default()).await.unwrap();
    assert_eq!(state(&second, "w").await, WorkflowState::Timeout);
}

#[tokio::test]
async fn a_timer_that_sleeps_learns_of_a_new_deadline() {
    let (engine, clock) = engine(store());
    let stop = CancellationToken::new();
    let scenario = async {
        engine.create(workflow("w", 0, &[("m", 1)]), String::new()).await.unwrap();
        let (id, m, action) = offered(&ask(&engine, "m").await.unwrap());
        engine.report(&id, report(&m, &action, ActionState::Running), &Caller::default()).await.unwrap();
        let mut feed = engine.store.subscribe();
        clock.advance(100);
        assert_eq!(feed.recv().await.unwrap().event.state, "TIMEOUT");
        stop.cancel();
    };
    tokio::join!(run_timers(&engine, stop.clone()), scenario);
}

#[tokio::test]
async fn of_contradicting_reports_at_once_one_stands() {
    let (engine, _) = engine(store());
    engine.create(workflow("w", 0, &[("m", 1)]), String::new()).await.unwrap();
    let (id, m, action) = offered(&ask(&engine, "m").await.unwrap());
    engine.report(&id, report(&m, &action, ActionState::Running), &Caller::default()).await.unwrap();
    let ends = [ActionState::Success, ActionState::Failed, ActionState::Timeout];
    let nobody = Caller::default();
    let reports = (0..24).map(|nth| engine.report(&id, report(&m, &action, ends[nth % 3]), &nobody));
    let done = futures_util::future::join_all(reports).await;
    let acknowledged = done.iter().filter(|done| matches!(done, Ok(Reported::Acknowledged))).count();
    let refused = done.iter().filter(|done| matches!(done, Ok(Reported::Refused(_)))).count();
    assert_eq!((acknowledged, refused), (8, 16), "{done:?}");
    assert_eq!(kinds(&engine).await.iter().filter(|kind| *kind == "action").count(), 2, "RUNNING and one end");
}

#[tokio::test]
async fn the_result_of_a_deleted_action_is_known_also_when_the_name_is_used_again() {
    let (engine, _) = engine(store());
    engine.create(workflow("w", 0, &[("m", 2)]), String::new()).await.unwrap();
    let (id, m, action) = offered(&ask(&engine, "m").await.unwrap());
    engine.report(&id, report(&m, &action, ActionState::Running), &Caller::default()).await.unwrap();
    engine.delete(&id).await.unwrap();
    let success = || report(&m, &action, ActionState::Success);
    assert_eq!(engine.report(&id, success(), &Caller::default()).await.unwrap(), Reported::Deleted);
    engine.create(workflow("w", 5, &[("m", 1)]), String::new()).await.unwrap();
    assert_eq!(engine.report(&id, success(), &Caller::default()).await.unwrap(), Reported::Deleted);
    assert_eq!(state(&engine, "w").await, WorkflowState::Pending);
    let stranger = report(&worker("n"), &action, ActionState::Success);
    assert!(matches!(
        engine.report(&id, stranger, &Caller::default()).await,
        Ok(Reported::Refused(Refusal::UnknownAction { .. }))
    ));
    let other = WorkflowId::parse("default/other").unwrap();
    assert!(matches!(engine.report(&other, success(), &Caller::default()).await, Err(EngineError::NoWorkflow(_))));
}

#[tokio::test]
async fn what_is_offered_is_woken_for() {
    let (engine, _) = engine(store());
    let waiters = [("m", engine.waiters.register(&worker("m"))), ("n", engine.waiters.register(&worker("n")))];
    let wake = |name: &str| waiters.iter().find(|(id, _)| *id == name).unwrap().1.as_ref().unwrap().next_wake();
    let (m, n) = (wake("m"), wake("n"));
    engine.create(workflow("w", 0, &[("m", 1), ("n", 1)]), String::new()).await.unwrap();
    tokio::join!(m, n);
    let (id, m, action) = offered(&ask(&engine, "m").await.unwrap());
    assert!(ask(&engine, "n").await.is_none(), "not yet");
    let n = wake("n");
    engine.report(&id, report(&m, &action, ActionState::Success), &Caller::default()).await.unwrap();
    n.await;
    assert!(ask(&engine, "n").await.is_some());
}

/// A process of a worker, over a connection of its own.
fn process(instance: Option<&str>, line: &OpenLine) -> Caller {
    Caller::new(instance, Some(line.line()), "here")
}

/// Asks for work as this process; the action, or who has it.
async fn ask_as(engine: &Engine, caller: &Caller) -> Result<ActionId, Option<String>> {
    engine.leases.note(&worker("m"), caller, engine.now());
    look_as(engine, caller, Look::AtArrival).await
}

async fn look_as(engine: &Engine, caller: &Caller, look: Look) -> Result<ActionId, Option<String>> {
    match engine.offer(&worker("m"), caller, look).await.unwrap() {
        Offered::Action(offer) => Ok(offered(&offer).2),
        Offered::Nothing => Err(None),
        Offered::Held { holder, .. } => Err(Some(holder)),
    }
}

fn line(name: &str) -> OpenLine {
    OpenLine::new(name.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_second_process_gets_nothing_before_the_lease_of_the_first_one_runs_out() {
    let (engine, _) = engine(store());
    engine.create(workflow("w", 0, &[("m", 2)]), String::new()).await.unwrap();
    engine.create(workflow("x", 1, &[("m", 1)]), String::new()).await.unwrap();
    let (first_line, second_line) = (line("1"), line("2"));
    let (first, second) = (process(Some("a"), &first_line), process(Some("b"), &second_line));
    let action = ask_as(&engine, &first).await.unwrap();
    let held = Err(Some("instance a".to_owned()));
    assert_eq!(ask_as(&engine, &second).await, held, "neither the action nor one of another workflow");
    // RUNNING asks leave, which only the holder gets; a result is taken from anybody.
    let running = || report(&worker("m"), &action, ActionState::Running);
    let refused = engine.report(&id("w"), running(), &second).await.unwrap();
    assert_eq!(refused, Reported::Held { holder: "instance a".to_owned() });
    assert_eq!(engine.report(&id("w"), running(), &first).await.unwrap(), Reported::Acknowledged);
    let success = report(&worker("m"), &action, ActionState::Success);
    assert_eq!(engine.report(&id("w"), success, &second).await.unwrap(), Reported::Acknowledged);
    assert_eq!(ask_as(&engine, &second).await, held, "a task is finished where it was begun");
    drop(first_line);
    tokio::time::advance(LEASE - Duration::from_secs(1)).await;
    assert_eq!(ask_as(&engine, &second).await, held);
    tokio::time::advance(Duration::from_secs(1)).await;
    let next = ask_as(&engine, &second).await.unwrap();
    assert_ne!(next, action);
    assert_eq!(ask_as(&engine, &first).await, Err(Some("instance b".to_owned())), "now the other one has it");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_back_gets_its_own_action_at_once_also_from_a_server_that_was_restarted() {
    let store = store();
    let (before, clock) = engine(Arc::clone(&store));
    before.create(workflow("w", 0, &[("m", 1)]), String::new()).await.unwrap();
    let lines = ["1", "2", "3"].map(line);
    let action = ask_as(&before, &process(Some("a"), &lines[0])).await.unwrap();
    assert_eq!(ask_as(&before, &process(Some("a"), &lines[1])).await, Ok(action.clone()), "another connection");
    let after = Engine::new(store, clock as Arc<dyn Clock>, Metrics::new(), LEASE);
    let held = Err(Some("instance a".to_owned()));
    assert_eq!(ask_as(&after, &process(Some("b"), &lines[2])).await, held, "a start ends no lease");
    assert_eq!(ask_as(&after, &process(Some("a"), &lines[1])).await, Ok(action.clone()));
    tokio::time::advance(LEASE).await;
    assert_eq!(ask_as(&after, &process(Some("b"), &lines[2])).await, held, "it is connected");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_names_no_instance_holds_its_action_while_it_is_connected() {
    let (engine, _) = engine(store());
    engine.create(workflow("w", 0, &[("m", 1)]), String::new()).await.unwrap();
    let (first, second) = (line("1"), line("2"));
    let action = ask_as(&engine, &process(None, &first)).await.unwrap();
    tokio::time::advance(10 * LEASE).await;
    assert_eq!(ask_as(&engine, &process(None, &second)).await, Err(Some("connection 1".to_owned())));
    drop(first);
    assert_eq!(ask_as(&engine, &process(None, &second)).await, Ok(action));
}

#[tokio::test(start_paused = true)]
async fn a_report_by_names_is_a_sign_of_life() {
    let (engine, _) = engine(store());
    engine.create(workflow("w", 0, &[("m", 1)]), String::new()).await.unwrap();
    let (first_line, second_line) = (line("1"), line("2"));
    ask_as(&engine, &process(Some("a"), &first_line)).await.unwrap();
    drop(first_line);
    tokio::time::advance(LEASE - Duration::from_secs(1)).await;
    let running = NamedReport {
        task: "t0".to_owned(),
        action: "a0".to_owned(),
        state: ActionState::Running,
        seconds: 0,
        message: String::new(),
    };
    let brief = line("3");
    let heard = engine.report_named(&id("w"), running, &process(Some("a"), &brief)).await.unwrap();
    assert_eq!(heard, Named::Reported(Reported::Acknowledged));
    drop(brief);
    tokio::time::advance(LEASE - Duration::from_secs(1)).await;
    assert_eq!(ask_as(&engine, &process(Some("b"), &second_line)).await, Err(Some("instance a".to_owned())));
}

/// A workflow of two actions, whose first one `first` has begun and announced to end its machine.
async fn announced(engine: &Engine, first: &Caller) -> ActionId {
    engine.create(workflow("w", 0, &[("m", 2)]), String::new()).await.unwrap();
    let action = ask_as(engine, first).await.unwrap();
    let report = |state| report(&worker("m"), &action, state);
    assert_eq!(engine.report(&id("w"), report(ActionState::Running), first).await.unwrap(), Reported::Acknowledged);
    assert_eq!(engine.leaving(&id("w"), report(ActionState::Success), first).await.unwrap(), Reported::Acknowledged);
    action
}

async fn state_of(engine: &Engine, action: &ActionId) -> ActionState {
    let stored = engine.store.workflow(&id("w")).await.unwrap().unwrap();
    stored.workflow.action(action).unwrap().1.state
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_back_has_ended_its_machine() {
    let (engine, _) = engine(store());
    let (before, after) = (line("1"), line("2"));
    let action = announced(&engine, &process(Some("a"), &before)).await;
    // The server need not know that the old connection is dead.
    let next = ask_as(&engine, &process(Some("a"), &after)).await.unwrap();
    assert_ne!(next, action);
    assert_eq!(state_of(&engine, &action).await, ActionState::Success);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_work_that_is_older_than_the_announcement_settles_nothing() {
    let (engine, _) = engine(store());
    let line = line("1");
    let first = process(Some("a"), &line);
    let action = announced(&engine, &first).await;
    engine.create(workflow("x", 1, &[("m", 1)]), String::new()).await.unwrap();
    assert_eq!(
        look_as(&engine, &first, Look::WhileHeld).await,
        Err(None),
        "neither this action nor another workflow's"
    );
    assert!(
        engine.turns(&worker("m"), &first, Look::WhileHeld).await.unwrap().iter().all(|s| s.workflow.id != id("w"))
    );
    let failed = report(&worker("m"), &action, ActionState::Failed);
    assert_eq!(engine.report(&id("w"), failed, &first).await.unwrap(), Reported::Acknowledged);
    assert_eq!(state_of(&engine, &action).await, ActionState::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_announcement_of_a_success_is_heard_from_the_process_that_had_the_action_alone() {
    let (engine, _) = engine(store());
    let (first_line, second_line) = (line("1"), line("2"));
    let (first, second) = (process(Some("a"), &first_line), process(Some("b"), &second_line));
    let action = announced(&engine, &first).await;
    let success = || report(&worker("m"), &action, ActionState::Success);
    assert_eq!(engine.report(&id("w"), success(), &first).await.unwrap(), Reported::Acknowledged);
    assert_eq!(engine.leaving(&id("w"), success(), &first).await.unwrap(), Reported::Acknowledged, "a repeat");
    drop(first_line);
    tokio::time::advance(LEASE).await;
    let heard = engine.leaving(&id("w"), success(), &second).await.unwrap();
    assert!(matches!(heard, Reported::Refused(_)), "it would run on a second machine: {heard:?}");
    assert_ne!(ask_as(&engine, &second).await.unwrap(), action);
    let heard = engine.leaving(&id("w"), success(), &first).await.unwrap();
    assert!(!matches!(heard, Reported::Acknowledged), "the worker is past it: {heard:?}");
    assert_eq!(state_of(&engine, &action).await, ActionState::Success);
}

#[tokio::test(start_paused = true)]
async fn a_look_gives_nothing_out_and_ends_nothing() {
    let (engine, _) = engine(store());
    let line = line("1");
    let first = process(Some("a"), &line);
    let action = announced(&engine, &first).await;
    engine.create(workflow("x", 1, &[("m", 1)]), String::new()).await.unwrap();
    let before = kinds(&engine).await;
    let standing = engine.standing(&worker("m"), &first).await.unwrap();
    assert_eq!(standing.iter().map(|stored| &stored.workflow.id).collect::<Vec<_>>(), [&id("x")]);
    assert_eq!(kinds(&engine).await, before);
    assert_eq!(state_of(&engine, &action).await, ActionState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_ends_no_action_of_the_first_one_while_that_one_lives() {
    for (restarted, by_turns) in [(false, false), (false, true), (true, false), (true, true)] {
        let store = store();
        let (mut engine, clock) = engine(Arc::clone(&store));
        let (first_line, second_line) = (line("1"), line("2"));
        let (first, second) = (process(Some("a"), &first_line), process(Some("b"), &second_line));
        let action = announced(&engine, &first).await;
        // The connection breaks for a moment, or the server is restarted.
        drop(first_line);
        if restarted {
            engine = Engine::new(store, clock as Arc<dyn Clock>, Metrics::new(), LEASE);
        }
        let look = async |engine: &Engine| {
            engine.leases.note(&worker("m"), &second, engine.now());
            if by_turns {
                engine.turns(&worker("m"), &second, Look::AtArrival).await.unwrap().len()
            } else {
                usize::from(ask_as(engine, &second).await.is_ok())
            }
        };
        tokio::time::advance(LEASE - Duration::from_secs(1)).await;
        assert_eq!(look(&engine).await, 0, "{restarted} {by_turns}");
        assert_eq!(state_of(&engine, &action).await, ActionState::Running, "{restarted} {by_turns}");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(look(&engine).await, 1, "{restarted} {by_turns}");
        assert_eq!(state_of(&engine, &action).await, ActionState::Success, "{restarted} {by_turns}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_client_that_names_no_instance_the_end_of_its_connection_is_the_end_of_its_machine() {
    let (engine, _) = engine(store());
    let (first_line, second_line) = (line("1"), line("2"));
    let action = announced(&engine, &process(None, &first_line)).await;
    let second = process(None, &second_line);
    assert_eq!(ask_as(&engine, &second).await, Err(Some("connection 1".to_owned())));
    drop(first_line);
    assert!(ask_as(&engine, &second).await.is_ok());
    assert_eq!(state_of(&engine, &action).await, ActionState::Success);
}

/// Calls again until the store is well, as every client does.
async fn insist<T, F: Future<Output = Result<T, EngineError>>>(mut call: impl FnMut() -> F) -> Result<T, EngineError> {
    for _ in 0..3 {
        match call().await {
            Err(EngineError::Store(StoreError::Made { .. })) => {}
            done => return done,
        }
    }
    panic!("one failure was made")
}

/// Two workers, four actions, from create to SUCCESS; every failed call is made again.
async fn run_to_success(engine: &Engine) {
    let nobody = Caller::default();
    match insist(|| engine.create(workflow("w", 0, &[("m", 2), ("n", 2)]), String::new())).await {
        // The first attempt was done, its answer lost.
        Ok(_) | Err(EngineError::Exists(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
    for name in ["m", "m", "n", "n"] {
        let asking = worker(name);
        let offer = insist(|| engine.offer(&asking, &nobody, Look::AtArrival)).await.unwrap();
        let offer = action_of(offer).expect("work for it");
        let (id, worker, action) = offered(&offer);
        for said in [ActionState::Running, ActionState::Success] {
            let done = insist(|| engine.report(&id, report(&worker, &action, said), &nobody)).await.unwrap();
            assert_eq!(done, Reported::Acknowledged);
        }
    }
    let asking = worker("n");
    let offer = insist(|| engine.offer(&asking, &nobody, Look::AtArrival)).await.unwrap();
    assert_eq!(action_of(offer).map(|offer| offered(&offer)), None);
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_costs_nothing_and_doubles_nothing() {
    let counted = Arc::new(FailingStore::new(store(), 0, Strike::Before));
    run_to_success(&engine(Arc::clone(&counted) as SharedStore).0).await;
    let calls = counted.calls();
    assert!(calls > 20, "{calls}");
    for strike in [Strike::Before, Strike::After] {
        for nth in 1..=calls {
            let (engine, _) = engine(Arc::new(FailingStore::new(store(), nth, strike)));
            run_to_success(&engine).await;
            assert_eq!(state(&engine, "w").await, WorkflowState::Success, "{strike:?} {nth}");
            let kinds = kinds(&engine).await;
            let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
            let counts = (count("created"), count("offered"), count("action"), count("workflow"), count("refused"));
            assert_eq!(counts, (1, 4, 8, 2, 0), "{strike:?} {nth}");
        }
    }
}

/// Something that happens, with small numbers that pick whom it concerns.
#[derive(Clone, Debug)]
enum Happening {
    Create(u8),
    Ask(u8),
    /// Of the actions ever given out: which, what is said, and whether its own worker says it.
    Say(usize, u8, bool),
    Cancel(u8),
    Delete(u8),
    Wait(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => (0..3_u8).prop_map(Happening::Create),
        6 => (0..3_u8).prop_map(Happening::Ask),
        8 => (any::<prop::sample::Index>(), 0..4_u8, prop::bool::weighted(0.9))
            .prop_map(|(which, said, own)| Happening::Say(which.index(1 << 16), said, own)),
        1 => (0..3_u8).prop_map(Happening::Cancel),
        1 => (0..3_u8).prop_map(Happening::Delete),
        1 => (0..60_u8).prop_map(Happening::Wait),
    ]
}

/// What was seen, to hold the next state against.
#[derive(Default)]
struct Memory {
    given: Vec<(WorkflowId, WorkerId, ActionId)>,
    ended: HashMap<ActionId, ActionState>,
    ended_workflows: HashMap<ActionId, WorkflowState>,
    created: i64,
}

impl Memory {
    async fn carry_out(&mut self, engine: &Engine, clock: &ManualClock, happening: &Happening) {
        let names = ["w0", "w1", "w2"];
        match happening {
            Happening::Create(nth) => {
                self.created += 1;
                let tasks: &[(&str, usize)] = match nth {
                    0 => &[("m0", 2), ("m1", 1)],
                    1 => &[("m1", 1), ("m0", 1)],
                    _ => &[("m2", 3)],
                };
                let made = engine.create(workflow(names[usize::from(*nth)], self.created, tasks), String::new()).await;
                assert!(matches!(made, Ok(_) | Err(EngineError::Exists(_))), "{made:?}");
            }
            Happening::Ask(nth) => {
                let asking = worker(&format!("m{nth}"));
                if let Some(offer) = ask(engine, asking.as_str()).await {
                    let given = offered(&offer);
                    assert_eq!(given.1, asking);
                    let workflow = &offer.stored.workflow;
                    let before = workflow.actions().take_while(|(_, action)| action.id != given.2);
                    assert!(before.into_iter().all(|(_, action)| action.state == ActionState::Success));
                    assert!(!workflow.state.is_terminal() && !self.ended.contains_key(&given.2));
                    self.given.push(given);
                }
            }
            Happening::Say(which, said, own) => {
                if self.given.is_empty() {
                    return;
                }
                let (id, own_worker, action) = self.given[which % self.given.len()].clone();
                let speaker = if *own { own_worker } else { worker("stranger") };
                let states = [ActionState::Running, ActionState::Success, ActionState::Failed, ActionState::Timeout];
                let done =
                    engine.report(&id, report(&speaker, &action, states[usize::from(*said)]), &Caller::default()).await;
                assert!(matches!(done, Ok(_) | Err(EngineError::NoWorkflow(_))), "{done:?}");
                assert!(
                    *own || !matches!(done, Ok(Reported::Acknowledged | Reported::Deleted)),
                    "a stranger was heard"
                );
            }
            Happening::Cancel(nth) => {
                let done = engine.cancel(&id(names[usize::from(*nth)]), "test".to_owned()).await;
                assert!(matches!(done, Ok(_) | Err(EngineError::NoWorkflow(_) | EngineError::Refused(_))), "{done:?}");
            }
            Happening::Delete(nth) => {
                let done = engine.delete(&id(names[usize::from(*nth)])).await;
                assert!(matches!(done, Ok(()) | Err(EngineError::NoWorkflow(_))), "{done:?}");
            }
            Happening::Wait(seconds) => {
                clock.advance(i64::from(*seconds));
                for due in engine.store.due(engine.now(), 99).await.unwrap() {
                    engine.apply(&due, &Event::Tick).await.unwrap();
                }
            }
        }
    }

    /// What ended stays as it ended; one action runs at a time; what is told agrees with what is stored.
    async fn check(&mut self, engine: &Engine) {
        let (workflows, _) = engine.store.workflows(&Default::default()).await.unwrap();
        for stored in workflows {
            let workflow = &stored.workflow;
            let running = workflow.actions().filter(|(_, action)| action.state == ActionState::Running).count();
            assert!(running <= 1, "{workflow:?}");
            for (_, action) in workflow.actions() {
                if action.state.is_terminal() {
                    let ended = *self.ended.entry(action.id.clone()).or_insert(action.state);
                    assert_eq!(ended, action.state, "a result changed");
                }
            }
            // The first action's id names this very workflow, also when its name is used again.
            if workflow.state.is_terminal()
                && let Some((_, first)) = workflow.actions().next()
            {
                let ended = *self.ended_workflows.entry(first.id.clone()).or_insert(workflow.state);
                assert_eq!(ended, workflow.state, "a workflow came back");
            }
            let filter = EventFilter { workflow: Some(workflow.id.clone()), limit: 10_000, ..Default::default() };
            let events = engine.store.events(&filter).await.unwrap().events;
            let told =
                events.iter().rev().find(|event| matches!(event.kind.as_str(), "created" | "workflow" | "cancelled"));
            assert_eq!(told.unwrap().state, workflow.state.as_str(), "the newest event tells the state");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_a_workflow(happenings in prop::collection::vec(happening(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (engine, clock) = engine(store());
            let mut memory = Memory::default();
            for happening in &happenings {
                memory.carry_out(&engine, &clock, happening).await;
                memory.check(&engine).await;
            }
        });
    }
}
