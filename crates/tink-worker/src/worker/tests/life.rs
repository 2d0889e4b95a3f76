//! One life: what is run, reported and said.

use std::time::Duration;

use tink_runtime::{ExitCause, Purpose};
use tink_workflow::{ActionState, WorkflowState};

use crate::doubles::{Fault, Life, Script, World, workflow};
use crate::transport::{Ack, Next};
use crate::{Ended, WorkerEvent};

const FINISHED: Life = Life::Ended(Ended::Finished);

fn result(world: &World, action: &str) -> (ActionState, String) {
    let found = world.reports().into_iter().rev().find(|report| report.action.as_str() == action);
    found.map(|report| (report.state, report.message)).unwrap()
}

fn state(world: &World, nth: usize) -> WorkflowState {
    world.office.engine.workflows()[nth].state
}

#[test]
fn actions_run_in_order_and_each_result_says_what_happened() {
    let script = Script { lines: vec!["hello".to_owned(), "world".to_owned()], ..Script::default() };
    let world = World::new(vec![workflow("w", &["one", "two"], |_| {})], &[("one", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    let said: Vec<_> = world.reports().into_iter().map(|r| (r.action.to_string(), r.state, r.message)).collect();
    let expected = [
        ("w-a1", ActionState::Running, "running action"),
        ("w-a1", ActionState::Success, "exit code 0; last output: world"),
        ("w-a2", ActionState::Running, "running action"),
        ("w-a2", ActionState::Success, "exit code 0"),
    ];
    assert_eq!(said, expected.map(|(id, state, text)| (id.to_owned(), state, text.to_owned())));
    assert_eq!(world.log("w-a1", 1), "hello\nworld\n");
    assert!(world.machine.lock().unwrap().containers.is_empty(), "containers are removed");
    let running = &world.reports()[0];
    assert_eq!((running.started_at, running.stopped_at, running.duration.as_str()), (None, None, ""));
    assert!(world.reports()[1].started_at.is_some() && world.reports()[1].stopped_at.is_some());
}

#[test]
fn a_failure_carries_exit_code_and_last_output_and_ends_the_workflow() {
    let script = Script { lines: vec!["no disk".to_owned()], exit: ExitCause::Code(3), ..Script::default() };
    let world = World::new(vec![workflow("w", &["bad", "never"], |_| {})], &[("bad", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!(result(&world, "w-a1"), (ActionState::Failed, "exit code 3; last output: no disk".to_owned()));
    assert_eq!((state(&world, 0), world.runs("w-a2")), (WorkflowState::Failed, 0));
}

/// A slow log of many lines, read to its end after the container's.
#[test]
fn the_newest_output_is_waited_for_as_long_as_something_comes() {
    let lines = (0..100).map(|nth| format!("line {nth}")).collect();
    let fails = ExitCause::Code(1);
    let script = Script { lines, line_takes: Duration::from_secs(2), exit: fails, ..Script::default() };
    for away in [false, true] {
        let world = World::new(vec![workflow("w", &["bad"], |_| {})], &[("bad", script.clone())]);
        if away {
            let (life, _) = world.live_beside(None, |stop, mut events, _| async move {
                while let Some(event) = events.next().await {
                    if matches!(event, WorkerEvent::OutputLine { .. }) {
                        stop.cancel();
                    }
                }
            });
            assert_eq!(life, Life::Ended(Ended::Stopped));
            world.machine.lock().unwrap().end_all();
        }
        assert_eq!(world.live(None).0, FINISHED);
        assert!(result(&world, "w-a1").1.ends_with("line 98\nline 99"), "{}", result(&world, "w-a1").1);
    }
}

#[test]
fn output_that_falls_silent_or_never_ends_does_not_hold_up_a_result() {
    let endless = vec!["more".to_owned(); 100_000];
    for (lines, line_takes) in [(vec!["late".to_owned()], 100_000), (endless, 1)] {
        let script = Script { lines, line_takes: Duration::from_secs(line_takes), ..Script::default() };
        let world = World::new(vec![workflow("w", &["x"], |_| {})], &[("x", script)]);
        let (life, _) = world.live_beside(None, |stop, mut events, _| async move {
            let begun = tokio::time::Instant::now();
            while let Some(event) = events.next().await {
                if matches!(event, WorkerEvent::Ended { .. }) {
                    assert!(begun.elapsed() < Duration::from_secs(600), "{:?}", begun.elapsed());
                    stop.cancel();
                }
            }
        });
        assert_eq!((life, world.runs("w-a1")), (Life::Ended(Ended::Stopped), 1));
    }
}

#[test]
fn a_result_does_not_wait_for_the_removal_of_its_container_and_neither_does_the_next_action() {
    let script = Script { removal_takes: Duration::from_secs(100), ..Script::default() };
    let world = World::new(vec![workflow("w", &["x", "y"], |_| {})], &[("x", script)]);
    let machine = std::sync::Arc::clone(&world.machine);
    let (life, _) = world.live_beside(None, |_, mut events, _| async move {
        let mut while_it_hangs = 0;
        while let Some(event) = events.next().await {
            if matches!(event, WorkerEvent::Reported { .. }) {
                while_it_hangs +=
                    usize::from(machine.lock().unwrap().containers.keys().any(|name| name.contains("a1")));
            }
        }
        assert_eq!(while_it_hangs, 2);
    });
    assert_eq!((life, state(&world, 0)), (FINISHED, WorkflowState::Success));
    assert!(world.machine.lock().unwrap().containers.is_empty(), "it is removed before the worker ends");
}

#[test]
fn a_removal_that_failed_is_tried_again_after_the_next_action() {
    let script = Script { removal_failures: 1, ..Script::default() };
    let world = World::new(vec![workflow("w", &["x", "y"], |_| {})], &[("x", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    assert!(world.machine.lock().unwrap().containers.is_empty());
}

#[test]
fn a_removal_that_failed_is_tried_again_by_a_worker_that_is_idle() {
    let script = Script { removal_failures: 3, ..Script::default() };
    let world = World::new(vec![workflow("w", &["x"], |_| {})], &[("x", script)]).endless();
    let (life, _) = world.live_beside(None, |stop, _, _| async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        stop.cancel();
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
    assert!(world.machine.lock().unwrap().containers.is_empty());
}

#[test]
fn a_signal_and_the_oom_killer_are_named() {
    let script = Script { exit: ExitCause::Signal(9), oom: true, ..Script::default() };
    let world = World::new(vec![workflow("w", &["bad"], |_| {})], &[("bad", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    let message = "killed by signal 9 (SIGKILL) (out of memory)".to_owned();
    assert_eq!(result(&world, "w-a1"), (ActionState::Failed, message));
}

#[test]
fn secrets_of_the_environment_are_masked_everywhere() {
    let script = Script { lines: vec!["token is s3cr3t".to_owned()], exit: ExitCause::Code(1), ..Script::default() };
    let flow = workflow("w", &["bad"], |spec| {
        spec.environment.insert("API_TOKEN".to_owned(), "s3cr3t".to_owned());
    });
    let world = World::new(vec![flow], &[("bad", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!(result(&world, "w-a1").1, "exit code 1; last output: token is ***");
    assert_eq!(world.log("w-a1", 1), "token is ***\n");
}

#[test]
fn transient_pull_failures_are_not_failures_of_the_action() {
    let script = Script { pull_failures: 7, ..Script::default() };
    let world = World::new(vec![workflow("w", &["far"], |_| {})], &[("far", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!((state(&world, 0), world.machine.lock().unwrap().pulls), (WorkflowState::Success, 8));
}

#[test]
fn a_pull_that_cannot_succeed_fails_at_once_in_the_registrys_words() {
    let script = Script { pull_error: Some("manifest unknown".to_owned()), ..Script::default() };
    let world = World::new(vec![workflow("w", &["none"], |_| {})], &[("none", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    let message = "failed to pull image docker.io/library/none:latest: manifest unknown".to_owned();
    assert_eq!(result(&world, "w-a1"), (ActionState::Failed, message));
    assert_eq!(world.machine.lock().unwrap().pulls, 1);
}

#[test]
fn a_pull_that_uses_up_the_timeout_is_a_timeout_that_says_so() {
    let script = Script { pull_failures: 1_000_000, ..Script::default() };
    let flow = workflow("w", &["far"], |spec| spec.timeout_s = 60);
    let world = World::new(vec![flow], &[("far", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    let (state, message) = result(&world, "w-a1");
    assert_eq!(state, ActionState::Timeout);
    assert!(message.starts_with("timeout of 60 s used up while pulling image docker.io/library/far:latest, try "));
    assert!(message.ends_with("planned: away"), "{message}");
}

#[test]
fn a_pull_that_hangs_is_bounded_by_the_timeout() {
    let script = Script { pull_takes: Duration::from_secs(100_000), ..Script::default() };
    let flow = workflow("w", &["far"], |spec| spec.timeout_s = 60);
    let world = World::new(vec![flow], &[("far", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!(result(&world, "w-a1").0, ActionState::Timeout);
}

#[test]
fn an_image_that_is_none_fails_the_action_and_names_the_rule() {
    let world = World::new(vec![workflow("w", &["Not An Image"], |_| {})], &[]);
    assert_eq!(world.live(None).0, FINISHED);
    let (state, message) = result(&world, "w-a1");
    assert_eq!(state, ActionState::Failed);
    assert!(message.starts_with("image \"Not An Image\" is no image reference: "), "{message}");
}

#[test]
fn a_program_that_cannot_be_started_fails_the_action() {
    let script = Script { start_error: Some("no such program /nope".to_owned()), ..Script::default() };
    let world = World::new(vec![workflow("w", &["bad"], |_| {})], &[("bad", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    assert!(result(&world, "w-a1").1.ends_with("no such program /nope"));
}

#[test]
fn an_action_past_its_timeout_is_stopped_with_grace_and_reported_so() {
    for heeds_term in [true, false] {
        let script = Script { runs_for: None, heeds_term, lines: vec!["working".to_owned()], ..Script::default() };
        let flow = workflow("w", &["slow"], |spec| spec.timeout_s = 30);
        let world = World::new(vec![flow], &[("slow", script)]);
        assert_eq!(world.live(None).0, FINISHED);
        let signal = if heeds_term { "15 (SIGTERM)" } else { "9 (SIGKILL)" };
        let message = format!("stopped after its timeout of 30 s, killed by signal {signal}; last output: working");
        assert_eq!(result(&world, "w-a1"), (ActionState::Timeout, message));
        assert_eq!(state(&world, 0), WorkflowState::Timeout);
        assert_eq!(world.machine.lock().unwrap().stops[0].1, Duration::from_secs(5));
    }
}

#[test]
fn without_a_timeout_an_action_may_take_as_long_as_it_likes() {
    let script = Script { runs_for: Some(Duration::from_secs(3 * 3600)), ..Script::default() };
    let world = World::new(vec![workflow("w", &["slow"], |_| {})], &[("slow", script)]);
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!(state(&world, 0), WorkflowState::Success);
}

#[test]
fn hooks_run_in_the_same_image_and_never_change_the_result() {
    let failing = Script { exit: ExitCause::Code(1), ..Script::default() };
    let endless = Script { runs_for: None, ..Script::default() };
    for (script, expected, purpose) in
        [(failing, ActionState::Failed, Purpose::OnFailure), (endless, ActionState::Timeout, Purpose::OnTimeout)]
    {
        let flow = workflow("w", &["x"], |spec| {
            spec.timeout_s = 30;
            spec.on_failure = vec!["on-failure".to_owned()];
            spec.on_timeout = vec!["on-timeout".to_owned()];
        });
        let world = World::new(vec![flow], &[("x", script)]);
        assert_eq!(world.live(None).0, FINISHED);
        assert_eq!(result(&world, "w-a1").0, expected);
        let machine = world.machine.lock().unwrap();
        let purposes: Vec<_> = machine.started.iter().map(|identity| identity.purpose).collect();
        assert_eq!(purposes, [Purpose::Action, purpose]);
        assert!(machine.containers.is_empty());
    }
}

#[test]
fn a_panic_in_an_actions_task_fails_that_action_and_not_the_worker() {
    let mut failed = 0;
    for at in 1.. {
        let flows = vec![workflow("v", &["one"], |_| {}), workflow("w", &["two"], |_| {})];
        let world = World::new(flows, &[]);
        let (life, steps) = {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| {}));
            let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.live(Some((at, Fault::Panic)))));
            std::panic::set_hook(hook);
            match lived {
                Ok(lived) => lived,
                // While the journal is opened, before there is a worker.
                Err(_) => continue,
            }
        };
        let steps = steps.unwrap();
        if !steps.was_hit() {
            break;
        }
        assert_eq!(life, FINISHED, "panic at step {at}");
        let states = [0, 1].map(|nth| state(&world, nth));
        assert!(states.contains(&WorkflowState::Success), "panic at step {at}: {states:?}");
        for (action, state) in ["v-a1", "w-a1"].into_iter().zip(states) {
            if state == WorkflowState::Failed {
                failed += 1;
                assert!(result(&world, action).1.contains("internal error of tink-worker"), "panic at step {at}");
            }
        }
    }
    assert!(failed > 5, "{failed}");
}

#[test]
fn a_stop_leaves_the_action_running_and_the_next_life_takes_it_up() {
    let script = Script { lines: vec!["one".to_owned(), "two".to_owned()], ..Script::default() };
    let world = World::new(vec![workflow("w", &["x"], |_| {})], &[("x", script)]);
    let (life, _) = world.live_beside(None, |stop, mut events, _| async move {
        while let Some(event) = events.next().await {
            if matches!(event, WorkerEvent::OutputLine { .. }) {
                stop.cancel();
            }
        }
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
    assert_eq!(world.machine.lock().unwrap().stops, []);
    assert_eq!(world.machine.lock().unwrap().containers.len(), 1);
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!((state(&world, 0), world.runs("w-a1")), (WorkflowState::Success, 1));
    assert_eq!(world.log("w-a1", 1), "one\ntwo\n");
}

#[test]
fn a_server_that_refuses_the_running_report_gets_no_container() {
    let world = World::new(vec![workflow("w", &["x"], |_| {})], &[]).endless();
    world.office.answers.lock().unwrap().push_back(Ok(Ack::Refused("NotFound: gone".to_owned())));
    let (life, _) = world.live_beside(None, |stop, _, _| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        stop.cancel();
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
    // The engine offers it again and takes the report then: one refusal is not for ever.
    assert_eq!((world.runs("w-a1"), state(&world, 0)), (1, WorkflowState::Success));
}

#[test]
fn a_refused_result_closes_its_entry_and_the_worker_goes_on() {
    let world = World::new(vec![workflow("v", &["x"], |_| {}), workflow("w", &["x"], |_| {})], &[]).endless();
    world
        .office
        .answers
        .lock()
        .unwrap()
        .extend([Ok(Ack::Accepted), Ok(Ack::Refused("FailedPrecondition: no".to_owned()))]);
    let (life, _) = world.live_beside(None, |stop, mut events, _| async move {
        while let Some(event) = events.next().await {
            if let WorkerEvent::Reported { accepted: false, .. } = event {
                // Deleted on the server, so that the next workflow is offered.
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
        stop.cancel();
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
    assert_eq!(world.runs("v-a1"), 1, "answered from the journal each time it is offered");
}

#[test]
fn a_server_that_knows_nothing_for_a_while_gets_the_result_when_its_data_is_back() {
    let world = World::new(vec![workflow("w", &["x"], |_| {})], &[]);
    let office = std::sync::Arc::clone(&world.office);
    let (life, _) = world.live_beside(None, |_, mut events, _| async move {
        while let Some(event) = events.next().await {
            match event {
                WorkerEvent::Started { .. } => {
                    let unknown = || Err("action not found".to_owned());
                    office.answers.lock().unwrap().extend(std::iter::repeat_with(unknown).take(25));
                    office.offers.lock().unwrap().extend(std::iter::repeat_n(Next::Nothing, 25));
                }
                WorkerEvent::Reported { accepted, .. } => assert!(accepted, "it was given up"),
                _ => {}
            }
        }
    });
    assert_eq!((life, state(&world, 0)), (FINISHED, WorkflowState::Success));
    assert_eq!(world.runs("w-a1"), 1);
}

#[test]
fn a_workflow_the_server_fails_on_for_ever_does_not_hold_up_the_others() {
    let world = World::new(vec![workflow("w", &["x", "y"], |_| {})], &[]).endless();
    // The server offers an action of a workflow that is deleted while it runs.
    let deleted = World::new(vec![workflow("deleted", &["x"], |_| {})], &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let assignment = runtime.block_on(deleted.office.peek()).unwrap();
    world.office.offers.lock().unwrap().push_back(Next::Action(Box::new(assignment)));
    world.office.answers.lock().unwrap().push_back(Ok(Ack::Accepted));
    let office = std::sync::Arc::clone(&world.office);
    let (life, _) = world.live_beside(None, |stop, mut events, _| async move {
        let (mut given_up, mut ended) = (false, None);
        while let Some(event) = events.next().await {
            match event {
                WorkerEvent::Started { assignment, .. } if assignment.workflow.name() == "deleted" => {
                    office.broken.lock().unwrap().push("default/deleted".to_owned());
                }
                WorkerEvent::Ended { assignment, .. } if assignment.workflow.name() == "deleted" => {
                    ended = Some(tokio::time::Instant::now());
                }
                WorkerEvent::Started { .. } => {
                    let waited = ended.take().map(|ended| ended.elapsed());
                    assert!(waited.is_none_or(|waited| waited < Duration::from_secs(30)), "idle for {waited:?}");
                }
                WorkerEvent::Reported { accepted: false, assignment, .. } => {
                    assert_eq!(assignment.workflow.name(), "deleted");
                    given_up = true;
                    break;
                }
                _ => {}
            }
        }
        assert!(given_up);
        stop.cancel();
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
    assert_eq!(state(&world, 0), WorkflowState::Success);
    let tries = world.reports().iter().filter(|r| r.workflow.name() == "deleted" && r.state.is_terminal()).count();
    assert!(tries >= usize::try_from(crate::reporter::GIVE_UP_AFTER).unwrap(), "{tries}");
    let closed = std::fs::read_to_string(
        std::fs::read_dir(world.dir().join("assignments"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().ends_with("deleted-a1"))
            .unwrap()
            .join("acknowledged"),
    )
    .unwrap();
    assert!(closed.contains("the server no longer offers the action"), "{closed}");
}

#[test]
fn an_internal_error_of_hours_loses_no_result() {
    let world = World::new(vec![workflow("w", &["x"], |_| {})], &[]);
    let mut answers = vec![Ok(Ack::Accepted)];
    answers.extend((0..500).map(|_| Err("database is locked".to_owned())));
    world.office.answers.lock().unwrap().extend(answers);
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!((state(&world, 0), world.runs("w-a1")), (WorkflowState::Success, 1));
    let results: Vec<_> = world.reports().into_iter().filter(|report| report.state.is_terminal()).collect();
    assert_eq!(results.len(), 501);
    assert!(results.iter().all(|report| *report == results[0]), "word for word");
}

#[test]
fn a_full_disk_starts_nothing_and_the_worker_goes_on_when_there_is_room() {
    let world = World::new(vec![workflow("w", &["x"], |_| {})], &[]);
    let machine = std::sync::Arc::clone(&world.machine);
    let (life, _) = world.live_beside(None, |_, _, steps| async move {
        steps.set_full(true);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(machine.lock().unwrap().started.is_empty());
        steps.set_full(false);
    });
    assert_eq!(life, FINISHED);
    assert_eq!((state(&world, 0), world.runs("w-a1")), (WorkflowState::Success, 1));
}

#[test]
fn a_result_that_the_disk_does_not_take_is_reported_all_the_same() {
    let world = World::new(vec![workflow("w", &["x"], |_| {})], &[]);
    let (life, _) = world.live_beside(None, |_, mut events, steps| async move {
        while let Some(event) = events.next().await {
            if matches!(event, WorkerEvent::Started { .. }) {
                steps.set_full(true);
            }
        }
    });
    assert_eq!(life, FINISHED);
    assert_eq!((state(&world, 0), world.runs("w-a1")), (WorkflowState::Success, 1));
}

#[test]
fn a_result_that_is_stored_nowhere_keeps_its_container_as_a_witness() {
    let world = World::new(vec![workflow("w", &["x"], |_| {})], &[]);
    let mut answers = vec![Ok(Ack::Accepted)];
    answers.extend((0..500).map(|_| Err("away".to_owned())));
    world.office.answers.lock().unwrap().extend(answers);
    let (life, _) = world.live_beside(None, |stop, mut events, steps| async move {
        while let Some(event) = events.next().await {
            match event {
                WorkerEvent::Started { .. } => steps.set_full(true),
                WorkerEvent::Ended { .. } => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    stop.cancel();
                }
                _ => {}
            }
        }
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
    world.office.answers.lock().unwrap().clear();
    assert_eq!(world.live(None).0, FINISHED);
    assert_eq!((state(&world, 0), world.runs("w-a1")), (WorkflowState::Success, 1));
    assert!(world.machine.lock().unwrap().containers.is_empty());
}

#[test]
fn images_are_put_on_disk_when_nothing_else_is_to_do() {
    let world = World::new(vec![workflow("w", &["x", "y"], |_| {})], &[]).endless();
    let (life, _) = world.live_beside(None, |stop, _, _| async move {
        tokio::time::sleep(Duration::from_secs(120)).await;
        stop.cancel();
    });
    assert_eq!(life, Life::Ended(Ended::Stopped));
    assert_eq!(world.machine.lock().unwrap().settled_after, [2], "once, after the last action");
}
