//! An engine that takes an hour to answer, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tink_runtime::Runtime;
use tink_workflow::{ActionState, WorkerId};
use tokio::time::{Instant, sleep};

use crate::doubles::{Engine, Machine, Steps};
use crate::journal::tests::{assignment, attempted_with};
use crate::transport::{Ack, Next, Transport, TransportError};
use crate::{Assignment, CancellationToken, Ended, Journal, JournalLimits, RealDisk, Report, Settings, Worker};

const LEASE_S: u64 = 60;
const AN_HOUR: Duration = Duration::from_secs(3600);

/// Takes every report and has no work; notes what it heard, and when.
#[derive(Debug, Default)]
struct Listener {
    heard: Mutex<Vec<(Instant, Report)>>,
    asked: Mutex<Vec<Instant>>,
}

impl Listener {
    fn heard(&self, action: &str) -> Vec<(Instant, ActionState)> {
        let heard = self.heard.lock().unwrap();
        let of = heard.iter().filter(|(_, report)| report.action.as_str() == action);
        of.map(|(at, report)| (*at, report.state)).collect()
    }
}

#[async_trait]
impl Transport for Listener {
    async fn next(&self) -> Result<Next, TransportError> {
        self.asked.lock().unwrap().push(Instant::now());
        Ok(Next::Finished)
    }

    async fn report(&self, report: &Report) -> Result<Ack, TransportError> {
        self.heard.lock().unwrap().push((Instant::now(), report.clone()));
        Ok(Ack::Accepted)
    }
}

/// A worker whose journal has a result that was not reported, and an action that may run.
async fn worker(dir: &std::path::Path, listener: &Arc<Listener>) -> Worker {
    let settings = Settings::new(WorkerId::parse("w1").unwrap(), dir);
    let journal = Journal::open(dir, Arc::new(RealDisk), JournalLimits::default()).unwrap();
    let ended = journal.begin(assignment("default/ended", "a1")).await.unwrap();
    let report = Report { state: ActionState::Success, ..Report::running(&ended.assignment, "exit code 0") };
    journal.result(ended.id, report).await.unwrap();
    attempted_with(&journal, Assignment { lease_s: LEASE_S, ..assignment("default/runs", "a2") }).await;
    let engine = async {
        sleep(AN_HOUR).await;
        let engine = Engine { machine: Arc::new(Mutex::new(Machine::default())), steps: Arc::new(Steps::new(None)) };
        Arc::new(engine) as Arc<dyn Runtime>
    };
    Worker::waiting(settings, Arc::clone(listener) as _, journal, engine)
}

#[tokio::test(start_paused = true)]
async fn while_an_engine_is_waited_for_results_are_reported_and_leases_kept_and_no_work_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let listener = Arc::new(Listener::default());
    let begun = Instant::now();
    let worker = worker(dir.path(), &listener).await;
    let idle = worker.idle();
    assert_eq!(worker.run(CancellationToken::new()).await, Ended::Finished);

    let result = listener.heard("a1");
    assert!(matches!(result[..], [(_, ActionState::Success)]), "{result:?}");
    assert!(result[0].0 - begun < Duration::from_secs(1), "the result is reported after {:?}", result[0].0 - begun);
    let signs = listener.heard("a2");
    assert!(signs.iter().all(|(_, state)| *state == ActionState::Running), "{signs:?}");
    let times: Vec<_> =
        std::iter::once(begun).chain(signs.iter().map(|(at, _)| *at)).chain([begun + AN_HOUR]).collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < Duration::from_secs(LEASE_S / 2), "silent for {longest:?}");
    let asked = listener.asked.lock().unwrap().clone();
    assert!(!asked.is_empty() && asked.iter().all(|at| *at >= begun + AN_HOUR), "work is asked for without an engine");
    assert_eq!(idle.open().len(), 1, "the result is acknowledged, and the other action is still the engine's");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_for_its_engine_stops_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(dir.path(), &Arc::default()).await;
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(worker.run(stop).await, Ended::Stopped);
}
