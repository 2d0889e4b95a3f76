//! A machine, a server and a state directory, in which a worker lives and dies.

use std::collections::VecDeque;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tink_workflow::{ActionSpec, TaskSpec, Timestamp, WorkerId, Workflow, WorkflowId, WorkflowSpec};
use tokio_util::sync::CancellationToken;

use super::engine::{Machine, runs};
use super::server::Office;
use super::{Engine, Fault, FaultyDisk, Script, Server, Steps};
use crate::transport::local::Local;
use crate::{Clock, Ended, EventStream, Events, Report, Settings, Worker, event_channel};

/// A clock that stands still; tests of times have their own.
#[derive(Debug)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn uptime(&self) -> Duration {
        Duration::from_secs(100)
    }
    fn boot_id(&self) -> String {
        "boot-1".to_owned()
    }
}

/// The same, on a machine that may be booted again.
#[derive(Debug)]
struct OfMachine(Arc<Mutex<Machine>>);

impl Clock for OfMachine {
    fn now(&self) -> Timestamp {
        Still.now()
    }
    fn uptime(&self) -> Duration {
        Still.uptime()
    }
    fn boot_id(&self) -> String {
        format!("boot-{}", self.0.lock().unwrap().reboots + 1)
    }
}

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) machine: Arc<Mutex<Machine>>,
    pub(crate) office: Arc<Office>,
    pub(crate) grace: Duration,
}

/// How a life of the worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Ended(Ended),
    Crashed,
    /// An hour of its time passed without an end.
    Stuck,
}

/// A workflow of one task whose actions have these images; the ids are `<name>-a1`, `<name>-a2`, ….
pub(crate) fn workflow(name: &str, images: &[&str], change: impl Fn(&mut ActionSpec)) -> Workflow {
    let actions = images
        .iter()
        .enumerate()
        .map(|(nth, image)| {
            let mut spec =
                ActionSpec { name: format!("action {}", nth + 1), image: (*image).to_owned(), ..ActionSpec::default() };
            change(&mut spec);
            spec
        })
        .collect();
    let task = TaskSpec { name: "task".to_owned(), worker: "w1".to_owned(), actions, ..TaskSpec::default() };
    let spec = WorkflowSpec { name: name.to_owned(), tasks: vec![task], ..WorkflowSpec::default() };
    let mut nth = 0;
    let fresh = || {
        nth += 1;
        if nth == 1 { format!("{name}-t") } else { format!("{name}-a{}", nth - 1) }
    };
    let id = WorkflowId::new("default", name).unwrap();
    Workflow::from_spec(id, &spec, Timestamp::UNIX_EPOCH, fresh).unwrap()
}

impl World {
    pub(crate) fn new(workflows: Vec<Workflow>, scripts: &[(&str, Script)]) -> Self {
        let scripts = scripts.iter().map(|(image, script)| (format!("library/{image}"), script.clone())).collect();
        let office = Office {
            engine: Local::new(workflows, Arc::new(Still)),
            reports: Mutex::default(),
            answers: Mutex::default(),
            broken: Mutex::default(),
            offers: Mutex::new(VecDeque::new()),
            endless: false,
            deaf: false,
            fills: false,
            loses: Mutex::default(),
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            machine: Arc::new(Mutex::new(Machine { scripts, ..Machine::default() })),
            office: Arc::new(office),
            grace: Duration::from_secs(5),
        }
    }

    /// A server that says "nothing to do" when everything ended.
    pub(crate) fn endless(mut self) -> Self {
        Arc::get_mut(&mut self.office).unwrap().endless = true;
        self
    }

    /// A server that fails when it is told that an action ends the machine.
    pub(crate) fn deaf(mut self) -> Self {
        Arc::get_mut(&mut self.office).unwrap().deaf = true;
        self
    }

    /// A server whose answer to an announcement finds the worker with a full disk.
    pub(crate) fn filling(mut self) -> Self {
        Arc::get_mut(&mut self.office).unwrap().fills = true;
        self
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A worker of this world, its events, and its steps.
    fn worker(&self, plan: Option<(u64, Fault)>) -> Result<(Worker, EventStream, Arc<Steps>), crate::JournalError> {
        let steps = Arc::new(Steps::new(plan));
        let (observer, events) = event_channel(10_000);
        let mut settings = Settings::new(WorkerId::parse("w1").unwrap(), self.dir.path());
        settings.clock = Arc::new(OfMachine(Arc::clone(&self.machine)));
        settings.disk = Arc::new(FaultyDisk(Arc::clone(&steps)));
        settings.events = Events::none().with(observer);
        settings.executor.stop_grace = self.grace;
        let server = Server { office: Arc::clone(&self.office), steps: Arc::clone(&steps) };
        let engine = Engine { machine: Arc::clone(&self.machine), steps: Arc::clone(&steps) };
        Worker::new(settings, Arc::new(server), Arc::new(engine)).map(|worker| (worker, events, steps))
    }

    /// One life of the worker, in virtual time, with a fault at a step. Returns how it ended and its steps.
    pub(crate) fn live(&self, plan: Option<(u64, Fault)>) -> (Life, Option<Arc<Steps>>) {
        self.live_beside(plan, |_, _, _| std::future::pending::<()>())
    }

    /// As [`World::live`], with something else going on at the same time, which may stop the worker.
    pub(crate) fn live_beside<F: Future>(
        &self,
        plan: Option<(u64, Fault)>,
        beside: impl FnOnce(CancellationToken, EventStream, Arc<Steps>) -> F,
    ) -> (Life, Option<Arc<Steps>>) {
        // A fault while the journal is opened ends the process: the caller starts it again.
        let Ok((worker, events, steps)) = self.worker(plan) else { return (Life::Crashed, None) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let stop = CancellationToken::new();
        let life = runtime.block_on(async {
            let beside = beside(stop.clone(), events, Arc::clone(&steps));
            let both = async {
                tokio::select! {
                    ended = worker.run(stop) => Life::Ended(ended),
                    _ = async { beside.await; std::future::pending::<()>().await } => Life::Stuck,
                }
            };
            tokio::select! {
                biased;
                () = steps.crashed() => Life::Crashed,
                life = both => life,
                () = tokio::time::sleep(Duration::from_secs(3600 * 4)) => Life::Stuck,
            }
        });
        // The threads that write the journal end by themselves: after a crash every call of theirs fails.
        runtime.shutdown_timeout(Duration::from_secs(5));
        (life, Some(steps))
    }

    pub(crate) fn runs(&self, action: &str) -> usize {
        runs(&self.machine.lock().unwrap(), action)
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        self.office.reports.lock().unwrap().clone()
    }

    /// The whole log of an action's attempt, from its segments, without the places of its lines.
    pub(crate) fn log(&self, action: &str, attempt: u32) -> String {
        let mut segments: Vec<_> = std::fs::read_dir(self.dir().join("assignments"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(action))
            .flat_map(|path| std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path()))
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("log-{attempt}.")))
            .collect();
        segments.sort();
        let text: String = segments.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned() + "\n").collect()
    }
}
