//! The state machine's rules, case by case and under random event orders.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]
use proptest::prelude::*;
use tink_workflow::{
    ActionId, ActionSpec, ActionState, Effect, Event, Next, Refusal, Report, TaskSpec, Timestamp, WorkerId, Workflow,
    WorkflowId, WorkflowSpec, WorkflowState, next_action, step,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// Tasks given as (worker, number of actions); action ids are `a0`, `a1`, … in the order they run.
fn workflow(tasks: &[(&str, usize)], global_timeout_s: u64) -> Workflow {
    let spec = WorkflowSpec {
        version: "0.1".to_owned(),
        name: "w".to_owned(),
        global_timeout_s,
        tasks: tasks
            .iter()
            .enumerate()
            .map(|(nth, (worker, actions))| TaskSpec {
                name: format!("task-{nth}"),
                worker: (*worker).to_owned(),
                actions: (0..*actions)
                    .map(|nth| ActionSpec {
                        name: format!("action-{nth}"),
                        image: "busybox".to_owned(),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            })
            .collect(),
    };
    let mut ids = Ids::default();
    let mut made = Workflow::from_spec(WorkflowId::parse("default/w").unwrap(), &spec, at(0), || ids.next()).unwrap();
    for (nth, action) in made.tasks.iter_mut().flat_map(|task| &mut task.actions).enumerate() {
        action.id = ActionId::parse(format!("a{nth}")).unwrap();
    }
    made
}

#[derive(Default)]
struct Ids(u32);

impl Ids {
    fn next(&mut self) -> String {
        self.0 += 1;
        format!("id-{}", self.0)
    }
}

fn worker(id: &str) -> WorkerId {
    WorkerId::parse(id).unwrap()
}

fn report(who: &str, action: &str, state: ActionState) -> Event {
    Event::Reported(Report {
        worker: worker(who),
        action: ActionId::parse(action).unwrap(),
        state,
        started_at: None,
        stopped_at: None,
        duration: String::new(),
        message: String::new(),
    })
}

fn run(mut workflow: Workflow, events: &[Event]) -> Workflow {
    for (nth, event) in events.iter().enumerate() {
        workflow =
            step(&workflow, event, at(i64::try_from(nth).unwrap())).unwrap_or_else(|e| panic!("{event:?}: {e}")).0;
    }
    workflow
}

use ActionState::{Failed, Running, Success, Timeout};

#[test]
fn actions_run_in_order_and_the_last_success_ends_the_workflow() {
    let mut w = workflow(&[("one", 2), ("two", 1)], 0);
    assert_eq!(next_action(&w, &worker("two")), Next::NotYours);
    for (who, id) in [("one", "a0"), ("one", "a1"), ("two", "a2")] {
        let Next::Action(_, action) = next_action(&w, &worker(who)) else { panic!("{who} gets nothing before {id}") };
        assert_eq!(action.id.as_str(), id);
        w = run(w, &[report(who, id, Running), report(who, id, Success)]);
    }
    assert_eq!(w.state, WorkflowState::Success);
    assert_eq!(next_action(&w, &worker("one")), Next::Ended);
}

#[test]
fn the_worker_of_the_next_task_is_woken() {
    let w = run(workflow(&[("one", 1), ("two", 1)], 0), &[report("one", "a0", Running)]);
    let (_, effects) = step(&w, &report("one", "a0", Success), at(9)).unwrap();
    assert!(effects.contains(&Effect::Wake(worker("two"))), "{effects:?}");
}

#[test]
fn a_success_whose_running_report_was_lost_counts() {
    let w = run(workflow(&[("one", 1)], 0), &[report("one", "a0", Success)]);
    assert_eq!((w.state, w.started_at.is_some()), (WorkflowState::Success, true));
}

#[test]
fn a_repeated_report_changes_nothing_and_is_success() {
    let w = run(workflow(&[("one", 2)], 0), &[report("one", "a0", Running), report("one", "a0", Success)]);
    let (same, effects) = step(&w, &report("one", "a0", Success), at(99)).unwrap();
    assert_eq!((same, effects), (w, Vec::new()));
    let w = run(workflow(&[("one", 2)], 0), &[report("one", "a0", Running)]);
    let (same, effects) = step(&w, &report("one", "a0", Running), at(99)).unwrap();
    assert_eq!((same, effects), (w, Vec::new()));
}

#[test]
fn an_action_that_ended_gets_no_leave_to_start_again() {
    let w = run(workflow(&[("one", 2)], 0), &[report("one", "a0", Running), report("one", "a0", Success)]);
    let refusal = step(&w, &report("one", "a0", Running), at(99)).unwrap_err();
    assert!(matches!(refusal, Refusal::Contradiction { was: Success, said: Running, .. }));
}

#[test]
fn a_contradicting_report_is_refused() {
    for (first, second, state) in [
        (Failed, Success, WorkflowState::Failed),
        (Timeout, Failed, WorkflowState::Timeout),
        (Success, Failed, WorkflowState::Success),
    ] {
        let w = run(workflow(&[("one", 1)], 0), &[report("one", "a0", first)]);
        assert_eq!(w.state, state);
        let refusal = step(&w, &report("one", "a0", second), at(9)).unwrap_err();
        assert!(matches!(refusal, Refusal::Contradiction { was, said, .. } if was == first && said == second));
    }
}

#[test]
fn an_action_before_its_turn_and_one_of_another_worker_are_refused() {
    let w = workflow(&[("one", 2)], 0);
    assert!(matches!(step(&w, &report("one", "a1", Running), at(0)), Err(Refusal::OutOfOrder { .. })));
    assert!(matches!(step(&w, &report("two", "a0", Running), at(0)), Err(Refusal::UnknownAction { .. })));
    assert!(matches!(step(&w, &report("one", "nope", Success), at(0)), Err(Refusal::UnknownAction { .. })));
    assert!(matches!(step(&w, &report("one", "a0", ActionState::Pending), at(0)), Err(Refusal::NotAReport { .. })));
    let offer = Event::Offered { worker: worker("one"), action: ActionId::parse("a1").unwrap(), holder: String::new() };
    assert!(matches!(step(&w, &offer, at(0)), Err(Refusal::OutOfOrder { .. })));
}

#[test]
fn after_a_cancel_a_running_action_may_end_but_none_is_started() {
    let cancel = Event::Cancelled { reason: "operator".to_owned() };
    let w = run(workflow(&[("one", 2)], 0), &[report("one", "a0", Running), cancel.clone()]);
    assert_eq!(w.state, WorkflowState::Cancelled);
    let ended = run(w, &[report("one", "a0", Success), cancel]);
    assert_eq!((ended.state, ended.tasks[0].actions[0].state), (WorkflowState::Cancelled, Success));
    assert!(matches!(step(&ended, &report("one", "a1", Running), at(9)), Err(Refusal::Ended { .. })));
    let done = run(workflow(&[("one", 1)], 0), &[report("one", "a0", Success)]);
    assert!(matches!(step(&done, &Event::Cancelled { reason: String::new() }, at(9)), Err(Refusal::Ended { .. })));
}

#[test]
fn the_global_timeout_runs_from_the_first_start_and_zero_means_none() {
    let w = workflow(&[("one", 1)], 60);
    assert_eq!(step(&w, &Event::Tick, at(1_000_000)).unwrap().0.state, WorkflowState::Pending);
    let w = run(w, &[report("one", "a0", Running)]);
    assert_eq!(step(&w, &Event::Tick, at(59)).unwrap().0.state, WorkflowState::Running);
    let (late, effects) = step(&w, &Event::Tick, at(60)).unwrap();
    assert_eq!(late.state, WorkflowState::Timeout);
    assert!(effects.contains(&Effect::Wake(worker("one"))));
    let endless = run(workflow(&[("one", 1)], 0), &[report("one", "a0", Running)]);
    assert_eq!(step(&endless, &Event::Tick, at(1_000_000_000)).unwrap().0.state, WorkflowState::Running);
}

#[test]
fn a_workflow_without_actions_is_done_at_once() {
    assert_eq!(workflow(&[("one", 0)], 0).state, WorkflowState::Success);
}

fn any_event() -> impl Strategy<Value = Event> {
    let state = prop_oneof![Just(ActionState::Pending), Just(Running), Just(Success), Just(Failed), Just(Timeout)];
    let who = prop_oneof![4 => Just("one"), 2 => Just("two"), 1 => Just("stranger")];
    prop_oneof![
        12 => (who.clone(), 0..6_usize, state).prop_map(|(who, nth, state)| report(who, &format!("a{nth}"), state)),
        3 => (who, 0..6_usize, 0..3_u8).prop_map(|(who, nth, holder)| Event::Offered {
            worker: worker(who),
            action: ActionId::parse(format!("a{nth}")).unwrap(),
            holder: format!("process-{holder}"),
        }),
        1 => Just(Event::Tick),
        1 => Just(Event::Cancelled { reason: "any".to_owned() }),
    ]
}

/// What must hold between a workflow and the one an event made of it.
fn check(before: &Workflow, after: &Workflow) {
    for ((_, was), (_, is)) in before.actions().zip(after.actions()) {
        assert_eq!(was.id, is.id);
        if was.state.is_terminal() {
            assert_eq!(was, is, "a terminal action changed");
        }
        if was.state == Running {
            assert_ne!(is.state, ActionState::Pending, "an action went back");
        }
    }
    if before.state.is_terminal() {
        assert_eq!((before.state, before.stopped_at, &before.message), (after.state, after.stopped_at, &after.message));
    }
    // Before the first action that has not succeeded everything has; after it nothing was touched.
    let states: Vec<ActionState> = after.actions().map(|(_, action)| action.state).collect();
    let turn = states.iter().position(|state| *state != Success).unwrap_or(states.len());
    assert!(states.iter().skip(turn + 1).all(|state| *state == ActionState::Pending), "{states:?}");
    // Its last action may succeed after a workflow was cancelled: that does not make it a success.
    let done = turn == states.len();
    assert!(if after.state == WorkflowState::Success { done } else { !done || after.state.is_terminal() }, "{after:?}");
    assert_eq!(after.state.is_terminal(), after.stopped_at.is_some());
    if after.state == WorkflowState::Pending {
        assert!(states.iter().all(|state| *state == ActionState::Pending));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_an_invariant(events in prop::collection::vec(any_event(), 0..60), limit in 0..90_u64) {
        let mut w = workflow(&[("one", 2), ("two", 1), ("one", 2)], limit);
        for (second, event) in events.iter().enumerate() {
            if let Ok((after, effects)) = step(&w, event, at(i64::try_from(second).unwrap())) {
                check(&w, &after);
                let changed = effects.iter().any(|effect| !matches!(effect, Effect::Wake(_)));
                let states = |w: &Workflow| (w.state, w.actions().map(|(_, a)| a.state).collect::<Vec<_>>());
                prop_assert_eq!(changed, states(&w) != states(&after), "effects and change disagree");
                // The same event again is success and changes no state.
                let (again, _) = step(&after, event, at(i64::try_from(second).unwrap())).unwrap();
                prop_assert_eq!(states(&again), states(&after));
                w = after;
            }
        }
    }

    #[test]
    fn whatever_was_sent_before_an_honest_worker_can_always_go_on(events in prop::collection::vec(any_event(), 0..30)) {
        let mut w = workflow(&[("one", 2), ("two", 2)], 0);
        for event in &events {
            if let Ok((after, _)) = step(&w, event, at(0)) { w = after; }
        }
        for _ in 0..8 {
            let next = ["one", "two"].into_iter().find_map(|who| match next_action(&w, &worker(who)) {
                Next::Action(_, action) => Some((who, action.id.to_string())),
                Next::NotYours | Next::Leaving(..) | Next::Ended => None,
            });
            let Some((who, id)) = next else { break };
            w = step(&w, &report(who, &id, Running), at(1)).unwrap().0;
            w = step(&w, &report(who, &id, Success), at(2)).unwrap().0;
        }
        prop_assert!(w.state.is_terminal());
    }
}

fn leaves(who: &str, action: &str) -> Event {
    let Event::Reported(report) = report(who, action, Success) else { unreachable!() };
    Event::Leaving(report)
}

fn returned(who: &str) -> Event {
    Event::Returned { worker: worker(who) }
}

#[test]
fn an_action_that_ends_its_machine_is_a_success_when_its_worker_is_back() {
    let w = run(workflow(&[("one", 2), ("two", 1)], 0), &[report("one", "a0", Running), leaves("one", "a0")]);
    assert_eq!(w.tasks[0].actions[0].state, Running);
    assert!(matches!(next_action(&w, &worker("one")), Next::Leaving(..)));
    assert_eq!(run(w.clone(), &[returned("two")]), w, "another worker says nothing of this machine");
    let w = run(w, &[returned("one")]);
    assert_eq!((w.tasks[0].actions[0].state, w.state), (Success, WorkflowState::Running));
    assert!(matches!(next_action(&w, &worker("one")), Next::Action(_, action) if action.id.as_str() == "a1"));
}

#[test]
fn an_action_that_ends_its_machine_is_a_success_when_nothing_is_heard() {
    let w = run(workflow(&[("one", 1)], 0), &[report("one", "a0", Running), leaves("one", "a0")]);
    let until = w.deadline().unwrap();
    let early = until.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
    assert_eq!(step(&w, &Event::Tick, early).unwrap().0, w);
    let w = step(&w, &Event::Tick, until).unwrap().0;
    assert_eq!((w.state, w.deadline()), (WorkflowState::Success, None));
}

#[test]
fn an_action_that_could_not_end_its_machine_fails() {
    for end in [Failed, Timeout] {
        let events = [report("one", "a0", Running), leaves("one", "a0"), report("one", "a0", end)];
        let w = run(workflow(&[("one", 1)], 0), &events);
        assert_eq!(w.tasks[0].actions[0].state, end);
        assert!(w.state.is_terminal());
        assert!(step(&w, &leaves("one", "a0"), at(9)).is_err(), "it ended otherwise");
    }
}

#[test]
fn who_may_not_run_an_action_may_not_announce_its_end_either() {
    let w = workflow(&[("one", 2)], 0);
    assert!(matches!(step(&w, &leaves("two", "a0"), at(0)), Err(Refusal::UnknownAction { .. })));
    assert!(matches!(step(&w, &leaves("one", "a1"), at(0)), Err(Refusal::OutOfOrder { .. })));
    let cancelled = run(w, &[Event::Cancelled { reason: "x".to_owned() }]);
    assert!(matches!(step(&cancelled, &leaves("one", "a0"), at(0)), Err(Refusal::Ended { .. })));
}
