//! Workers against servers of 2021 to 2025, in virtual time, with a fault at every step there is.

pub(crate) mod old_server;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tink_runtime::ExitCause;
use tink_workflow::ActionState;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::doubles::{Engine, Fault, FaultyDisk, Life, Machine, Script, Steps, Still};
use crate::{Settings, Worker};
use old_server::{Flavour, OldServer, OldWire, OldWorkflow};

pub(crate) const FLAVOURS: [Flavour; 2] = [Flavour::Sql, Flavour::Kubernetes];

/// `task/name@worker image`.
pub(crate) fn action(text: &str) -> WireAction {
    let (place, image) = text.rsplit_once(' ').unwrap();
    let (place, worker) = place.split_once('@').unwrap();
    let (task, name) = place.split_once('/').unwrap();
    WireAction {
        task: task.to_owned(),
        name: name.to_owned(),
        image: image.to_owned(),
        worker: worker.to_owned(),
        ..WireAction::default()
    }
}

pub(crate) fn workflow(id: &str, actions: &[&str]) -> OldWorkflow {
    OldWorkflow {
        id: id.to_owned(),
        actions: actions.iter().map(|text| action(text)).collect(),
        begun: false,
        index: 0,
        state: ActionState::Pending,
    }
}

/// A server, a machine and a state directory, in which workers live and die.
struct Site {
    server: Arc<Mutex<OldServer>>,
    machine: Arc<Mutex<Machine>>,
    dir: tempfile::TempDir,
}

impl Site {
    fn new(flavour: Flavour, workflows: Vec<OldWorkflow>, scripts: &[(&str, Script)]) -> Self {
        let scripts = scripts.iter().map(|(image, script)| (format!("library/{image}"), script.clone())).collect();
        Self {
            server: Arc::new(Mutex::new(OldServer::new(flavour, workflows))),
            machine: Arc::new(Mutex::new(Machine { scripts, ..Machine::default() })),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn polling(&self, worker: &str, steps: &Arc<Steps>) -> Polling<OldWire> {
        let wire = OldWire { server: Arc::clone(&self.server), steps: Arc::clone(steps) };
        let settings =
            PollingSettings { data_dir: self.data_dir(), data_bytes_max: 1000, ..PollingSettings::default() };
        let target = Target { host: "double".to_owned(), port: 1 };
        let timeouts = (Duration::from_secs(90), Duration::from_secs(90));
        Polling::new(wire, target, WorkerId::parse(worker).unwrap(), settings, timeouts)
    }

    /// One life of a worker, until every workflow is over and every result delivered, or the fault ends it.
    fn live(&self, worker: &str, plan: Option<(u64, Fault)>) -> (Life, Arc<Steps>) {
        let over = || self.server.lock().unwrap().workflows.iter().all(OldWorkflow::is_over);
        self.live_until(worker, plan, over)
    }

    fn live_until(&self, id: &str, plan: Option<(u64, Fault)>, over: impl Fn() -> bool) -> (Life, Arc<Steps>) {
        let steps = Arc::new(Steps::new(plan));
        let mut settings = Settings::new(WorkerId::parse(id).unwrap(), self.dir.path().join(format!("state-{id}")));
        settings.clock = Arc::new(Still);
        settings.disk = Arc::new(FaultyDisk(Arc::clone(&steps)));
        let engine = Engine { machine: Arc::clone(&self.machine), steps: Arc::clone(&steps) };
        let transport = Arc::new(self.polling(id, &steps));
        let Ok(worker) = Worker::new(settings, transport, Arc::new(engine)) else { return (Life::Crashed, steps) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let stop = CancellationToken::new();
        let idle = worker.idle();
        let life = runtime.block_on(async {
            let watch = async {
                while !(over() && idle.is_idle()) {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                stop.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = steps.crashed() => Life::Crashed,
                ended = worker.run(stop.clone()) => Life::Ended(ended),
                () = watch => Life::Stuck,
                () = tokio::time::sleep(Duration::from_secs(3600)) => Life::Stuck,
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
        (life, steps)
    }

    /// Names of the actions that were started, in order; hooks have theirs in brackets.
    fn started(&self) -> Vec<String> {
        let machine = self.machine.lock().unwrap();
        let name = |identity: &tink_runtime::Identity| match identity.purpose {
            tink_runtime::Purpose::Action => identity.action_name.clone(),
            other => format!("{} ({other:?})", identity.action_name),
        };
        machine.started.iter().map(name).collect()
    }

    fn taken(&self) -> Vec<(String, ActionState)> {
        let server = self.server.lock().unwrap();
        server.taken.iter().map(|status| (status.action.clone(), status.state)).collect()
    }

    fn assert_well(&self, what: &str) {
        let server = self.server.lock().unwrap();
        assert!(server.panics.is_empty(), "{what}: the server would have died: {:?}", server.panics);
        assert!(server.workflows.iter().all(OldWorkflow::is_over), "{what}: {:#?}", server.workflows);
    }
}

const DONE: Life = Life::Ended(crate::Ended::Stopped);

fn two_workflows(flavour: Flavour) -> Site {
    let fails = Script { exit: ExitCause::Code(3), lines: vec!["oh no".to_owned()], ..Script::default() };
    let mut failing = workflow("3fa85f64-5717-4562-b3fc-2c963f66afa6", &["only/breaks@w1 fails"]);
    failing.actions[0].on_failure = vec!["clean-up".to_owned()];
    let flows = vec![workflow("default/v", &["one/a@w1 x", "one/b@w1 x", "two/a@w1 x"]), failing];
    Site::new(flavour, flows, &[("fails", fails)])
}

/// RUNNING once and then the result, for each action, in order. A result may be said twice.
fn assert_reports(site: &Site, what: &str) {
    let taken = site.taken();
    let wanted = [
        ("a", ActionState::Running),
        ("a", ActionState::Success),
        ("b", ActionState::Running),
        ("b", ActionState::Success),
        ("a", ActionState::Running),
        ("a", ActionState::Success),
        ("breaks", ActionState::Running),
        ("breaks", ActionState::Failed),
    ];
    let wanted: Vec<_> = wanted.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect();
    // Two workflows may take turns; each in itself is in order.
    for of in [&wanted[..6], &wanted[6..]] {
        let mut found: Vec<_> = taken.iter().filter(|(name, _)| of.iter().any(|(wanted, _)| wanted == name)).collect();
        found.dedup();
        let of: Vec<_> = of.iter().collect();
        assert_eq!(found, of, "{what}");
    }
}

#[test]
fn workflows_run_to_their_end_on_both_kinds_of_server() {
    for flavour in FLAVOURS {
        let site = two_workflows(flavour);
        let what = format!("{flavour:?}");
        assert_eq!(site.live("w1", None).0, DONE, "{what}");
        site.assert_well(&what);
        assert_eq!(site.started(), ["a", "b", "a", "breaks", "breaks (OnFailure)"], "{what}");
        assert_reports(&site, &what);
        let server = site.server.lock().unwrap();
        let said = |nth: usize| (server.taken[nth].message.as_str(), server.taken[nth].worker.as_str());
        assert_eq!(said(0), ("Started execution", "w1"));
        assert_eq!(said(1), ("finished execution successfully", "w1"));
        assert_eq!(said(7), ("exit code 3; last output: oh no", "w1"));
    }
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_runs_nothing_twice() {
    for flavour in FLAVOURS {
        let mut steps_seen = 0;
        for at in 1.. {
            let site = two_workflows(flavour);
            let (life, steps) = site.live("w1", Some((at, Fault::Crash)));
            if life == DONE {
                break;
            }
            let what = format!("{flavour:?}, crash at step {at}, {}", steps.last());
            assert_eq!(life, Life::Crashed, "{what}");
            assert_eq!(site.live("w1", None).0, DONE, "{what}");
            site.assert_well(&what);
            let mut actions = site.started();
            // A crash beside a hook's start leaves it out, rather than to run it twice.
            actions.retain(|name| !name.contains("OnFailure"));
            assert_eq!(actions, ["a", "b", "a", "breaks"], "{what}");
            assert_reports(&site, &what);
            steps_seen = at;
        }
        assert!(steps_seen > 150, "{flavour:?}: only {steps_seen} steps");
    }
}

#[test]
fn a_call_that_fails_at_any_step_or_whose_answer_is_lost_changes_no_result() {
    for flavour in FLAVOURS {
        let mut steps_seen = 0;
        for at in 1.. {
            let site = two_workflows(flavour);
            let (life, steps) = site.live("w1", Some((at, Fault::Error)));
            if life == Life::Crashed {
                continue;
            }
            if !steps.was_hit() {
                break;
            }
            let what = format!("{flavour:?}, error at step {at}");
            assert_eq!(life, DONE, "{what}");
            site.assert_well(&what);
            assert_eq!(site.started(), ["a", "b", "a", "breaks", "breaks (OnFailure)"], "{what}");
            assert_reports(&site, &what);
            steps_seen = at;
        }
        assert!(steps_seen > 150, "{flavour:?}: only {steps_seen} steps");
    }
}

#[test]
fn a_second_worker_gets_its_turn_where_the_server_does_not_stream_it() {
    for flavour in FLAVOURS {
        let flow = workflow("w", &["one/a@w1 x", "one/b@w1 x", "two/c@w2 x", "two/d@w2 x", "three/e@w1 x"]);
        let site = Site::new(flavour, vec![flow], &[]);
        let stands = |index: usize| {
            let server = site.server.lock().unwrap();
            let flow = &server.workflows[0];
            match flow.state {
                ActionState::Success => flow.index + 1 >= index,
                _ => flow.index >= index,
            }
        };
        assert_eq!(site.live_until("w1", None, || stands(2)).0, DONE);
        assert_eq!(site.started(), ["a", "b"], "{flavour:?}");
        assert_eq!(site.live_until("w2", None, || stands(4)).0, DONE);
        assert_eq!(site.started(), ["a", "b", "c", "d"], "{flavour:?}");
        assert_eq!(site.live("w1", None).0, DONE);
        assert_eq!(site.started(), ["a", "b", "c", "d", "e"], "{flavour:?}");
        site.assert_well("two workers");
    }
}

#[test]
fn an_error_that_is_no_last_word_is_not_taken_for_one() {
    let site = two_workflows(Flavour::Kubernetes);
    // Every report meets another write once or twice; the server has the same words for that and for an unknown workflow.
    site.server.lock().unwrap().conflicts = 2;
    let over = || {
        let mut server = site.server.lock().unwrap();
        if server.conflicts == 0 && server.taken.len() % 3 == 1 {
            server.conflicts = 1;
        }
        server.workflows.iter().all(OldWorkflow::is_over)
    };
    assert_eq!(site.live_until("w1", None, over).0, DONE);
    site.assert_well("conflicts");
    assert_eq!(site.started(), ["a", "b", "a", "breaks", "breaks (OnFailure)"]);
}

#[test]
fn a_server_that_shows_what_was_so_a_moment_ago_runs_nothing_twice() {
    let instant = Script { runs_for: Some(Duration::from_millis(100)), ..Script::default() };
    let flow = workflow("default/w", &["t/a@w1 x", "t/b@w1 x", "t/c@w1 x"]);
    let site = Site::new(Flavour::Kubernetes, vec![flow], &[("x", instant)]);
    let over = || {
        let mut server = site.server.lock().unwrap();
        // Three answers of a cache after each change.
        if server.stale == 0 && server.shown_is_old() {
            server.stale = 3;
        }
        server.workflows.iter().all(OldWorkflow::is_over)
    };
    assert_eq!(site.live_until("w1", None, over).0, DONE);
    site.assert_well("stale");
    assert_eq!(site.started(), ["a", "b", "c"]);
}

#[test]
fn a_workflow_that_is_created_again_under_its_name_runs_again() {
    let flow = workflow("default/w", &["t/a@w1 x", "t/b@w1 x"]);
    let site = Site::new(Flavour::Kubernetes, vec![flow.clone()], &[]);
    for life in 1..=3 {
        assert_eq!(site.live("w1", None).0, DONE);
        site.assert_well("created again");
        assert_eq!(site.started(), ["a", "b"].repeat(life));
        site.server.lock().unwrap().workflows = vec![flow.clone()];
    }
    let ids: std::collections::BTreeSet<_> =
        site.machine.lock().unwrap().started.iter().map(|identity| identity.container_name()).collect();
    assert_eq!(ids.len(), 6, "every run has a container of its own: {ids:?}");
}

#[test]
fn a_result_of_the_old_workflow_is_not_taken_for_that_of_the_new_one() {
    let flow = workflow("default/w", &["t/a@w1 x", "t/b@w1 x"]);
    let site = Site::new(Flavour::Kubernetes, vec![flow.clone()], &[]);
    let replaced = Mutex::new(false);
    let over = || {
        let mut server = site.server.lock().unwrap();
        let mut replaced = replaced.lock().unwrap();
        if !*replaced && server.workflows[0].state == ActionState::Running {
            server.workflows = vec![flow.clone()];
            *replaced = true;
        }
        server.workflows.iter().all(OldWorkflow::is_over)
    };
    assert_eq!(site.live_until("w1", None, over).0, DONE);
    assert!(*replaced.lock().unwrap());
    assert_eq!(site.started(), ["a", "a", "b"]);
    let running = |(_, state): &(String, ActionState)| *state == ActionState::Running;
    assert_eq!(site.taken().into_iter().filter(running).count(), 3, "each run was announced");
}

#[test]
fn a_deleted_workflow_holds_nothing_up() {
    for flavour in FLAVOURS {
        let site = two_workflows(flavour);
        let deleted = Mutex::new(false);
        let over = || {
            let mut server = site.server.lock().unwrap();
            let mut deleted = deleted.lock().unwrap();
            if !*deleted && server.workflows[0].state == ActionState::Running {
                server.workflows.remove(0);
                *deleted = true;
            }
            server.workflows.iter().all(OldWorkflow::is_over)
        };
        assert_eq!(site.live_until("w1", None, over).0, DONE, "{flavour:?}");
        assert_eq!(site.started(), ["a", "breaks", "breaks (OnFailure)"], "{flavour:?}");
    }
}

#[test]
fn a_server_with_leases_hears_of_a_long_action_and_one_without_does_not() {
    for (lease_s, looks_min, looks_max) in [(60, 30, 40), (0, 1, 9)] {
        let long = Script { runs_for: Some(Duration::from_secs(600)), ..Script::default() };
        let site = Site::new(Flavour::Kubernetes, vec![workflow("w", &["t/long@w1 long"])], &[("long", long)]);
        site.server.lock().unwrap().lease_s = lease_s;
        assert_eq!(site.live("w1", None).0, DONE);
        site.assert_well("a long action");
        let looks = site.server.lock().unwrap().looks;
        assert!((looks_min..=looks_max).contains(&looks), "lease of {lease_s} s: {looks}");
        let said: Vec<_> = site.taken().into_iter().map(|(_, state)| state).collect();
        assert_eq!(said, [ActionState::Running, ActionState::Success]);
    }
}

#[tokio::test(start_paused = true)]
async fn of_an_action_that_the_server_is_past_nothing_but_a_success_is_taken() {
    let flow = workflow("w", &["t/a@w1 x", "t/b@w1 x"]);
    let site = Site::new(Flavour::Kubernetes, vec![flow], &[]);
    let polling = site.polling("w1", &Arc::new(Steps::new(None)));
    let Next::Action(first) = polling.next().await.unwrap() else { panic!() };
    let report = |state| Report { state, ..Report::running(&first, "x") };
    polling.report(&report(ActionState::Running)).await.unwrap();
    // Announced as an action that ends the machine, it is a success here.
    let leaving = Report { leaving: true, ..report(ActionState::Success) };
    assert_eq!(polling.report(&leaving).await.unwrap(), Ack::Accepted);
    assert_eq!(polling.report(&report(ActionState::Success)).await.unwrap(), Ack::Accepted);
    for state in [ActionState::Failed, ActionState::Timeout] {
        let ack = polling.report(&report(state)).await.unwrap();
        assert!(matches!(&ack, Ack::Refused(why) if why.contains("took the action for a success")), "{ack:?}");
    }
}

#[test]
fn on_timeout_runs_and_changes_no_result() {
    for flavour in FLAVOURS {
        let endless = Script { runs_for: None, ..Script::default() };
        let mut flow = workflow("w", &["t/hangs@w1 endless", "t/never@w1 x"]);
        flow.actions[0].timeout_s = 30;
        flow.actions[0].on_timeout = vec!["clean-up".to_owned()];
        // The hook is of the same image and would hang as well: it is stopped, and the result stays.
        let site = Site::new(flavour, vec![flow], &[("endless", endless)]);
        assert_eq!(site.live("w1", None).0, DONE);
        site.assert_well("timeout");
        assert_eq!(site.started(), ["hangs", "hangs (OnTimeout)"]);
        let taken = site.taken();
        assert_eq!(taken.last().unwrap(), &("hangs".to_owned(), ActionState::Timeout));
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_of_another_worker_or_a_list_without_actions_is_nothing_to_do() {
    let mut empty = workflow("empty", &["t/a@w1 x"]);
    empty.actions.clear();
    let site = Site::new(Flavour::Kubernetes, vec![workflow("w", &["t/a@w2 x"])], &[]);
    let polling = site.polling("w1", &Arc::new(Steps::new(None)));
    assert_eq!(polling.next().await.unwrap(), Next::Nothing);
    // A list that is shorter than its context says.
    site.server.lock().unwrap().workflows = vec![workflow("w", &["t/a@w1 x"])];
    let context = site.server.lock().unwrap().contexts("w1");
    site.server.lock().unwrap().workflows[0].actions[0].worker = "w2".to_owned();
    assert_eq!(context.len(), 1);
    assert_eq!(polling.next().await.unwrap(), Next::Nothing);
}

#[tokio::test(start_paused = true)]
async fn an_assignment_has_the_workflow_directory_and_the_registry() {
    let mut flow = workflow("ns/w", &["t/a b@w1 hello:v1", "t/c@w1 x"]);
    let action = &mut flow.actions[0];
    action.volumes = vec!["/dev:/dev".to_owned()];
    action.environment = vec!["A=b".to_owned()];
    action.timeout_s = -1;
    action.pid = "host".to_owned();
    flow.actions[1].volumes = vec!["/elsewhere:/workflow".to_owned()];
    let site = Site::new(Flavour::Kubernetes, vec![flow], &[]);
    let mut polling = site.polling("w1", &Arc::new(Steps::new(None)));
    polling.settings.registry = "reg:5000/sub/".to_owned();
    let Next::Action(assignment) = polling.next().await.unwrap() else { panic!() };
    let bind = format!("{}/ns/w:/workflow", site.data_dir().display());
    assert_eq!(assignment.volumes, [bind, "/dev:/dev".to_owned()]);
    assert_eq!(assignment.image, "reg:5000/sub/hello:v1");
    assert_eq!((assignment.timeout_s, assignment.pid.as_str(), assignment.tty), (0, "host", true));
    assert_eq!(assignment.environment, ["A=b"]);
    site.server.lock().unwrap().workflows[0].index = 1;
    let Next::Action(next) = polling.next().await.unwrap() else { panic!() };
    assert_eq!(next.volumes, ["/elsewhere:/workflow"], "an action's own /workflow stays");
    assert_ne!(next.action, assignment.action);
}

#[tokio::test(start_paused = true)]
async fn a_workflow_id_that_leads_out_of_the_directory_is_not_run_and_hides_no_other() {
    let bad = workflow("../../etc", &["t/a@w1 x"]);
    let site = Site::new(Flavour::Kubernetes, vec![bad, workflow("good", &["t/a@w1 x"])], &[]);
    let polling = site.polling("w1", &Arc::new(Steps::new(None)));
    let Next::Action(assignment) = polling.next().await.unwrap() else { panic!() };
    assert_eq!(assignment.workflow.as_str(), "-/good");
    site.server.lock().unwrap().workflows.pop();
    let error = polling.next().await.unwrap_err().to_string();
    assert!(error.contains("../../etc"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn workflow_data_goes_to_the_disk_whole_and_back_only_when_it_changed() {
    let flow = workflow("ns/w", &["t/a@w1 x", "t/b@w1 x"]);
    let site = Site::new(Flavour::Sql, vec![flow], &[]);
    let polling = site.polling("w1", &Arc::new(Steps::new(None)));
    let file = site.data_dir().join("ns/w/data");
    let stored = || site.server.lock().unwrap().data.get("ns/w").cloned().unwrap_or_default();
    let Next::Action(first) = polling.next().await.unwrap() else { panic!() };
    let report = |assignment: &Assignment, state| Report { state, ..Report::running(assignment, "x") };

    assert_eq!(polling.report(&report(&first, ActionState::Running)).await.unwrap(), Ack::Accepted);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}", "a workflow without data has an empty document");
    std::fs::write(&file, r#"{"disk":"/dev/sda","long":"xxxxxxxxxxxxxxxx"}"#).unwrap();
    assert_eq!(polling.report(&report(&first, ActionState::Success)).await.unwrap(), Ack::Accepted);
    let versions = stored();
    assert_eq!(versions.len(), 1);
    let metadata: serde_json::Value = serde_json::from_str(&versions[0].0).unwrap();
    let keys: Vec<_> = metadata.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["workerID", "actionName", "taskName", "updatedAt", "sha256"]);
    assert_eq!(metadata["actionName"], "a");
    assert_eq!(metadata["sha256"].as_str().unwrap().len(), 64);

    // Another worker made it shorter meanwhile: nothing of the longer one stays.
    site.server.lock().unwrap().data.get_mut("ns/w").unwrap().push((String::new(), r#"{"a":1}"#.to_owned()));
    let Next::Action(second) = polling.next().await.unwrap() else { panic!() };
    assert_eq!(polling.report(&report(&second, ActionState::Running)).await.unwrap(), Ack::Accepted);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), r#"{"a":1}"#);
    assert_eq!(polling.report(&report(&second, ActionState::Success)).await.unwrap(), Ack::Accepted);
    assert_eq!(stored().len(), 2, "what did not change is not sent");
}

#[tokio::test(start_paused = true)]
async fn workflow_data_of_an_action_that_failed_stays_here() {
    let site = Site::new(Flavour::Sql, vec![workflow("w", &["t/a@w1 x"])], &[]);
    let polling = site.polling("w1", &Arc::new(Steps::new(None)));
    let Next::Action(first) = polling.next().await.unwrap() else { panic!() };
    polling.report(&Report::running(&first, "x")).await.unwrap();
    std::fs::write(site.data_dir().join("w/data"), r#"{"a":1}"#).unwrap();
    polling.report(&Report { state: ActionState::Failed, ..Report::running(&first, "x") }).await.unwrap();
    assert!(site.server.lock().unwrap().data.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_is_cut_to_what_databases_hold() {
    let site = Site::new(Flavour::Sql, vec![workflow("w", &["t/a@w1 x"])], &[]);
    let polling = site.polling("w1", &Arc::new(Steps::new(None)));
    let Next::Action(first) = polling.next().await.unwrap() else { panic!() };
    polling.report(&Report::running(&first, "x")).await.unwrap();
    let failed = Report { state: ActionState::Failed, ..Report::running(&first, "é".repeat(500)) };
    polling.report(&failed).await.unwrap();
    let server = site.server.lock().unwrap();
    assert_eq!(server.taken.last().unwrap().message, "é".repeat(200));
}
