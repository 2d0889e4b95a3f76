//! Actions that end their machine.

use std::time::Duration;

use tink_runtime::ExitCause;
use tink_workflow::{ActionState, WorkflowState};

use crate::doubles::{Fault, Life, Script, World, workflow};
use crate::{Ended, WorkerEvent};

const FINISHED: Life = Life::Ended(Ended::Finished);

/// Installs, then ends the machine.
fn world(reboot: Script) -> World {
    let flow = workflow("w", &["install", "reboot"], |_| {});
    World::new(vec![flow], &[("install", Script::default()), ("reboot", reboot)])
}

fn state(world: &World) -> WorkflowState {
    world.office.engine.workflows()[0].state
}

fn said(world: &World) -> Vec<(ActionState, bool)> {
    let of = world.reports().into_iter().filter(|report| report.action.as_str() == "w-a2");
    of.map(|report| (report.state, report.leaving)).collect()
}

/// Steps until the action that ends the machine was started.
fn step_after_start() -> u64 {
    (1..)
        .find(|at| {
            let world = world(Script { runs_for: None, ..Script::default() });
            let (_, steps) = world.live(Some((*at, Fault::Crash)));
            world.runs("w-a2") == 1 && steps.is_some_and(|steps| steps.last() == "after start")
        })
        .unwrap()
}

#[test]
fn the_server_knows_before_the_machine_can_end() {
    let world = world(Script { runs_for: None, ..Script::default() });
    assert_eq!(world.live(Some((step_after_start(), Fault::Crash))).0, Life::Crashed);
    assert_eq!(said(&world), [(ActionState::Running, false), (ActionState::Success, true)]);
    assert_eq!(state(&world), WorkflowState::Running, "it may still say that it failed");
}

#[test]
fn a_machine_that_comes_back_without_its_memory_runs_nothing_again() {
    let world = world(Script { runs_for: None, ..Script::default() });
    assert_eq!(world.live(Some((step_after_start(), Fault::Crash))).0, Life::Crashed);
    world.machine.lock().unwrap().reboot();
    std::fs::remove_dir_all(world.dir().join("assignments")).unwrap();
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!((state(&world), world.runs("w-a1"), world.runs("w-a2")), (WorkflowState::Success, 1, 1));
}

#[test]
fn a_machine_that_ends_at_any_step_after_the_announcement_runs_it_at_most_once() {
    let last = step_after_start();
    for forgets in [false, true] {
        for at in 1..=last {
            let world = world(Script { runs_for: None, ..Script::default() });
            let (life, steps) = world.live(Some((at, Fault::Crash)));
            assert_eq!(life, Life::Crashed);
            let what = format!("crash at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
            world.machine.lock().unwrap().reboot();
            if forgets {
                let _ = std::fs::remove_dir_all(world.dir().join("assignments"));
            }
            // Whatever is asked for again: the second time the machine ends as soon as it was told to.
            let (life, _) = world.live_beside(None, |stop, _, _| async move {
                tokio::time::sleep(Duration::from_secs(600)).await;
                stop.cancel();
            });
            assert!(matches!(life, Life::Ended(_)), "{what}: {life:?}");
            assert!(world.runs("w-a2") <= 1 || said(&world).iter().all(|(_, leaving)| !leaving), "{what}");
        }
    }
}

#[test]
fn a_crash_of_the_worker_alone_ends_the_machine_all_the_same_and_once() {
    for at in 1.. {
        let world = world(Script { lines: vec!["bye".to_owned()], ..Script::default() });
        let (life, steps) = world.live(Some((at, Fault::Crash)));
        if life == FINISHED {
            break;
        }
        let what = format!("crash at step {at}, {}", steps.map(|steps| steps.last()).unwrap_or_default());
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        assert_eq!((state(&world), world.runs("w-a2")), (WorkflowState::Success, 1), "{what}");
    }
}

#[test]
fn one_that_could_not_end_the_machine_fails() {
    let script = Script { lines: vec!["no kernel".to_owned()], exit: ExitCause::Code(1), ..Script::default() };
    let world = world(script);
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!(state(&world), WorkflowState::Failed);
    assert_eq!(said(&world).last(), Some(&(ActionState::Failed, false)));
    assert!(world.reports().last().unwrap().message.contains("no kernel"));
}

/// To ask for work would tell the server that the machine ended.
#[test]
fn no_work_is_asked_for_before_the_server_has_heard_that_the_machine_stays() {
    for (script, end) in [
        (Script { exit: ExitCause::Code(1), ..Script::default() }, WorkflowState::Failed),
        (Script { runs_for: None, ..Script::default() }, WorkflowState::Timeout),
    ] {
        for restarts in [false, true] {
            let flow = workflow("w", &["install", "reboot"], |spec| spec.timeout_s = 30);
            let world = World::new(vec![flow], &[("install", Script::default()), ("reboot", script.clone())]);
            *world.office.loses.lock().unwrap() = 20;
            if restarts {
                let (life, _) = world.live_beside(None, |stop, mut events, _| async move {
                    while let Some(event) = events.next().await {
                        if matches!(event, WorkerEvent::Ended { state, .. } if state != ActionState::Success) {
                            stop.cancel();
                        }
                    }
                });
                assert_eq!(life, Life::Ended(Ended::Stopped));
            }
            assert_eq!(world.live(None).0, FINISHED);
            assert_eq!((state(&world), world.runs("w-a2")), (end, 1), "restarts: {restarts}");
        }
    }
}

#[test]
fn it_is_not_started_before_the_server_has_heard() {
    let world = world(Script { runs_for: None, ..Script::default() }).deaf();
    let (life, _) = world.live_beside(None, |stop, _, _| async move {
        tokio::time::sleep(Duration::from_secs(300)).await;
        stop.cancel();
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
    assert_eq!((world.runs("w-a1"), world.runs("w-a2")), (1, 0));
}

#[test]
fn a_call_that_fails_at_any_step_ends_the_machine_all_the_same_and_once() {
    for at in 1.. {
        let world = world(Script::default());
        let (life, steps) = world.live(Some((at, Fault::Error)));
        let Some(steps) = steps else { continue };
        if !steps.was_hit() {
            break;
        }
        let what = format!("error at step {at}");
        assert_eq!(life, FINISHED, "{what}");
        assert_eq!((state(&world), world.runs("w-a2")), (WorkflowState::Success, 1), "{what}");
        assert_eq!(world.live(None).0, FINISHED, "{what}");
        assert_eq!(world.runs("w-a2"), 1, "{what}: it ran out of the blue");
    }
}

/// The server holds it for a success from then on, so nobody would ever hear that it was not started.
#[test]
fn one_that_was_announced_is_started_though_the_disk_is_full() {
    for reboots in [false, true] {
        let world = world(Script::default()).filling();
        assert_eq!(world.live(None).0, FINISHED);
        assert_eq!((state(&world), world.runs("w-a2")), (WorkflowState::Success, 1));
        if reboots {
            world.machine.lock().unwrap().reboot();
        }
        assert_eq!(world.live(None).0, FINISHED);
        assert_eq!(world.runs("w-a2"), 1, "reboots: {reboots}");
    }
}

#[test]
fn one_that_an_earlier_life_announced_is_started_though_the_disk_takes_nothing_any_more() {
    let world = (1..)
        .find_map(|at| {
            let world = world(Script::default());
            let (_, steps) = world.live(Some((at, Fault::Crash)));
            let announced = said(&world).iter().any(|(_, leaving)| *leaving);
            (announced && steps.is_some_and(|steps| steps.last() == "after report")).then_some(world)
        })
        .unwrap();
    assert_eq!(world.runs("w-a2"), 0);
    let (life, _) = world.live_beside(None, |_, _, steps| async move { steps.set_full(true) });
    assert_eq!(life, FINISHED);
    assert_eq!((state(&world), world.runs("w-a2")), (WorkflowState::Success, 1));
}
