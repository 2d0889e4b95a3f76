//! A crash, or a failing call, at every step there is.

use tink_runtime::ExitCause;
use tink_workflow::{ActionState, WorkflowState};

use crate::Ended;
use crate::doubles::{Fault, Life, Script, World, workflow};
use crate::transport::{Ack, Next};

const FINISHED: Life = Life::Ended(Ended::Finished);

/// Two workflows: one succeeds with two actions, one fails after some output.
pub(super) fn world() -> World {
    let talks = Script { lines: (1..=4).map(|n| format!("line {n}")).collect(), ..Script::default() };
    let fails = Script { lines: vec!["oh no".to_owned()], exit: ExitCause::Code(7), ..Script::default() };
    let flows = vec![
        workflow("v", &["talks", "quiet"], |_| {}),
        workflow("w", &["fails"], |spec| spec.on_failure = vec!["clean-up".to_owned()]),
    ];
    World::new(flows, &[("talks", talks), ("fails", fails)])
}

/// What must hold after the last life, however many there were before.
pub(super) fn check(world: &World, what: &str, runs_max: usize) {
    let states: Vec<_> = world.office.engine.workflows().iter().map(|workflow| workflow.state).collect();
    assert_eq!(states, [WorkflowState::Success, WorkflowState::Failed], "{what}");
    let reports = world.reports();
    for action in ["v-a1", "v-a2", "w-a1"] {
        let runs = world.runs(action);
        assert!((1..=runs_max).contains(&runs), "{what}: {action} ran {runs} times");
        let of = reports.iter().filter(|report| report.action.as_str() == action);
        let results: Vec<_> = of.filter(|report| report.state.is_terminal()).collect();
        assert!(!results.is_empty(), "{what}: {action} has no result");
        assert!(results.iter().all(|report| *report == results[0]), "{what}: {action} has two results: {results:#?}");
    }
    in_order(&reports, what);
    let left: Vec<_> = world.machine.lock().unwrap().containers.keys().cloned().collect();
    assert!(left.is_empty(), "{what}: containers are left: {left:?}");
}

/// An action's first report is RUNNING, and nothing of an earlier action comes after something of a later one.
fn in_order(reports: &[crate::Report], what: &str) {
    for workflow in ["v", "w"] {
        let said: Vec<_> = reports.iter().filter(|report| report.workflow.name() == workflow).collect();
        assert_eq!(said[0].state, ActionState::Running, "{what}");
        assert!(said.is_sorted_by_key(|report| report.action.as_str()), "{what}: {said:#?}");
    }
}

fn check_log(world: &World, what: &str) {
    assert_eq!(world.log("v-a1", 1), "line 1\nline 2\nline 3\nline 4\n", "{what}");
    assert_eq!(world.log("w-a1", 1), "oh no\n", "{what}");
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_runs_nothing_twice() {
    let mut steps_seen = 0;
    for at in 1.. {
        let world = world();
        let (life, steps) = world.live(Some((at, Fault::Crash)));
        if life == FINISHED {
            break;
        }
        assert_eq!(life, Life::Crashed, "step {at}");
        let what = format!("crash at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        check(&world, &what, 1);
        check_log(&world, &what);
        steps_seen = at;
    }
    assert!(steps_seen > 150, "only {steps_seen} steps");
}

#[test]
fn a_worker_that_finds_another_engine_after_a_crash_runs_nothing_twice() {
    let mut disowned = 0;
    for at in 1.. {
        let world = world();
        let (life, steps) = world.live(Some((at, Fault::Crash)));
        if life == FINISHED {
            break;
        }
        let what = format!("crash at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
        world.machine.lock().unwrap().engine = "other";
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        for action in ["v-a1", "v-a2", "w-a1"] {
            assert!(world.runs(action) <= 1, "{what}: {action} ran {} times", world.runs(action));
        }
        let reports = world.reports();
        disowned += reports.iter().filter(|report| report.message.contains("was given to the engine double")).count();
    }
    // Also the moments between the attempt and the container's record.
    assert!(disowned > 20, "only {disowned} times");
}

#[test]
fn an_action_that_ends_while_the_worker_is_away_is_reported_from_the_engine() {
    for at in 1.. {
        let world = world();
        let (life, steps) = world.live(Some((at, Fault::Crash)));
        if life == FINISHED {
            break;
        }
        world.machine.lock().unwrap().end_all();
        let what = format!("crash at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        check(&world, &what, 1);
        check_log(&world, &what);
    }
}

#[test]
fn a_machine_that_reboots_runs_the_action_again_only_where_it_has_no_result() {
    for at in 1.. {
        let world = world();
        let (life, steps) = world.live(Some((at, Fault::Crash)));
        if life == FINISHED {
            break;
        }
        world.machine.lock().unwrap().reboot();
        let what = format!("reboot at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        check(&world, &what, 2);
    }
}

#[test]
fn a_call_that_fails_at_any_step_changes_no_result() {
    let mut steps_seen = 0;
    for at in 1.. {
        let world = world();
        let (life, steps) = world.live(Some((at, Fault::Error)));
        let Some(steps) = steps else { continue };
        if !steps.was_hit() {
            break;
        }
        let what = format!("error at step {at}");
        assert_eq!(life, FINISHED, "{what}");
        // A container whose removal failed is removed after the next start.
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        check(&world, &what, 1);
        steps_seen = at;
    }
    assert!(steps_seen > 150, "only {steps_seen} steps");
}

#[test]
fn a_crash_while_an_action_is_stopped_is_a_timeout_all_the_same() {
    for at in 1.. {
        let endless = Script { runs_for: None, ..Script::default() };
        let flow = workflow("w", &["endless"], |spec| spec.timeout_s = 30);
        let world = World::new(vec![flow], &[("endless", endless)]);
        let (life, steps) = world.live(Some((at, Fault::Crash)));
        if life == FINISHED {
            break;
        }
        let what = format!("crash at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        assert_eq!(world.office.engine.workflows()[0].state, WorkflowState::Timeout, "{what}");
        assert_eq!(world.runs("w-a1"), 1, "{what}");
    }
}

/// The engine answers so late that the time is used up before anybody knows of the container.
#[test]
fn a_late_container_is_the_witness_of_its_timeout_until_that_is_stored() {
    for reboots in [false, true] {
        for at in 1.. {
            let late =
                Script { runs_for: None, start_takes: std::time::Duration::from_secs(100_000), ..Script::default() };
            let flow = workflow("w", &["late"], |spec| spec.timeout_s = 30);
            let world = World::new(vec![flow], &[("late", late)]);
            let (life, steps) = world.live(Some((at, Fault::Crash)));
            let what = format!("crash at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
            let decided = world.machine.lock().unwrap().stops.len();
            if life == FINISHED {
                assert_eq!((decided, world.runs("w-a1")), (1, 1));
                break;
            }
            if reboots {
                if decided == 0 {
                    continue;
                }
                world.machine.lock().unwrap().reboot();
            }
            assert_eq!(world.live(None).0, FINISHED, "{what}");
            assert_eq!(world.office.engine.workflows()[0].state, WorkflowState::Timeout, "{what}");
            assert_eq!(world.runs("w-a1"), 1, "{what}");
            assert!(world.machine.lock().unwrap().containers.is_empty(), "{what}");
        }
    }
}

/// A world whose worker died at this step of its first action.
fn world_that_died(step: &str) -> World {
    let mut worlds = (1..).filter_map(|at| {
        let world = world().endless();
        let (life, steps) = world.live(Some((at, Fault::Crash)));
        assert_eq!(life, Life::Crashed);
        steps.is_some_and(|steps| steps.last() == step).then_some(world)
    });
    worlds.next().unwrap()
}

/// A world whose machine was booted again while its first action ran.
fn world_with_a_gone_container() -> World {
    let world = world_that_died("after start");
    world.machine.lock().unwrap().reboot();
    world
}

/// A file of the entry of an action.
fn file_of(world: &World, action: &str, file: &str) -> std::path::PathBuf {
    let entries = std::fs::read_dir(world.dir().join("assignments")).unwrap();
    let mut dirs = entries.map(|entry| entry.unwrap().path());
    dirs.find(|path| path.to_string_lossy().ends_with(action)).unwrap().join(file)
}

/// What became of the entry of an action, as far as its file says.
fn note(world: &World, action: &str) -> Option<String> {
    std::fs::read_to_string(file_of(world, action, "acknowledged")).ok()
}

fn live_for(world: &World, seconds: u64) {
    let (life, _) = world.live_beside(None, |stop, _, _| async move {
        tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
        stop.cancel();
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
}

#[test]
fn an_action_whose_container_is_gone_is_not_started_before_the_server_asks_for_it() {
    let world = world_with_a_gone_container();
    let said = world.reports().len();
    // The server has nothing to do: the workflow was deleted while the machine was away.
    world.office.offers.lock().unwrap().extend((0..1000).map(|_| Next::Nothing));
    live_for(&world, 60);
    assert_eq!((world.runs("v-a1"), world.reports().len()), (1, said), "neither started nor said to run");
    assert!(note(&world, "v-a1").unwrap().contains("the server does not ask for it"));
}

#[test]
fn an_action_that_another_engine_may_still_run_is_not_begun_anew_after_it_was_given_up() {
    let world = world_that_died("after wait");
    let record = file_of(&world, "v-a1", "container.json");
    let text = std::fs::read_to_string(&record).unwrap().replace("\"double\"", "\"another\"");
    std::fs::write(&record, text).unwrap();
    world.office.offers.lock().unwrap().extend((0..1000).map(|_| Next::Nothing));
    live_for(&world, 60);
    assert!(note(&world, "v-a1").unwrap().contains("the server does not ask for it"));
    world.office.offers.lock().unwrap().clear();
    live_for(&world, 60);
    assert_eq!((world.runs("v-a1"), world.office.engine.workflows()[0].state), (1, WorkflowState::Failed));
}

#[test]
fn a_server_that_says_once_or_twice_that_there_is_nothing_may_still_ask_for_it() {
    let world = world_with_a_gone_container();
    world.office.offers.lock().unwrap().extend([Next::Nothing, Next::Nothing]);
    live_for(&world, 60);
    assert_eq!(world.runs("v-a1"), 2);
    assert_eq!(note(&world, "v-a1").unwrap(), "accepted\n");
    let entries = std::fs::read_dir(world.dir().join("assignments")).unwrap();
    let of = entries.filter(|entry| entry.as_ref().unwrap().path().to_string_lossy().ends_with("v-a1"));
    assert_eq!(of.count(), 1, "it is the same entry");
}

#[test]
fn an_action_whose_container_is_gone_is_given_up_when_the_server_goes_on_to_another_one() {
    let world = world_with_a_gone_container();
    world.office.engine.cancel("while the machine was away");
    let other = World::new(vec![workflow("other", &["x"], |_| {})], &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let assignment = runtime.block_on(other.office.peek()).unwrap();
    world.office.offers.lock().unwrap().push_back(Next::Action(Box::new(assignment)));
    world.office.answers.lock().unwrap().extend([Ok(Ack::Accepted), Ok(Ack::Accepted)]);
    live_for(&world, 10);
    assert_eq!((world.runs("v-a1"), world.runs("other-a1")), (1, 1));
    assert!(note(&world, "v-a1").unwrap().contains("went on to another action"));
}

#[test]
fn an_action_that_vanished_without_a_reboot_fails_and_is_not_run_again() {
    for at in 1.. {
        let world = world();
        let (life, steps) = world.live(Some((at, Fault::Crash)));
        if life == FINISHED {
            break;
        }
        // A start of which nothing is left, neither at the engine nor in the journal, never was.
        if steps.as_ref().is_some_and(|steps| is_between_start_and_record(&steps.last())) {
            continue;
        }
        let was_started = world.runs("v-a1") == 1;
        // As when its shim is killed, or somebody removes it, while the worker is away.
        world.machine.lock().unwrap().containers.clear();
        let what = format!("crash at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        for action in ["v-a1", "v-a2", "w-a1"] {
            assert!(world.runs(action) <= 1, "{what}: {action} ran {} times", world.runs(action));
        }
        let results: Vec<_> = world.reports().into_iter().filter(|report| report.state.is_terminal()).collect();
        assert!(!was_started || results.iter().any(|report| report.action.as_str() == "v-a1"), "{what}");
    }
}

fn is_between_start_and_record(step: &str) -> bool {
    step == "after start" || step.ends_with(" container.json") && step != "after rename container.json"
}
