//! An engine whose containers follow a script and outlive the worker.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tink_runtime::{
    ContainerSpec, ExitCause, ExitStatus, HandleRecord, Identity, LayerProgress, LayerState, LogPosition, LogSink,
    Operation, OutputStream, Progress, PullOutcome, PullProgress, Purpose, Recovered, Runtime, RuntimeError,
};
use tink_workflow::ImageRef;
use tokio::time::sleep;

use super::Steps;
use super::fault::Hit;

/// What a container of an image does.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) lines: Vec<String>,
    pub(crate) exit: ExitCause,
    pub(crate) oom: bool,
    /// `None`: until it is stopped.
    pub(crate) runs_for: Option<Duration>,
    /// Whether SIGTERM ends it, or only SIGKILL does.
    pub(crate) heeds_term: bool,
    /// Pulls that fail before one succeeds.
    pub(crate) pull_failures: u32,
    /// A pull that fails for good, in these words.
    pub(crate) pull_error: Option<String>,
    /// A start that fails for good, in these words.
    pub(crate) start_error: Option<String>,
    pub(crate) pull_takes: Duration,
    /// From the container's start to the engine's answer.
    pub(crate) start_takes: Duration,
    /// Before each line that is handed over.
    pub(crate) line_takes: Duration,
    /// How long the removal of the container takes.
    pub(crate) removal_takes: Duration,
    /// Removals that fail before one succeeds.
    pub(crate) removal_failures: u32,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            exit: ExitCause::Code(0),
            oom: false,
            runs_for: Some(Duration::from_secs(2)),
            heeds_term: true,
            pull_failures: 0,
            pull_error: None,
            start_error: None,
            pull_takes: Duration::ZERO,
            start_takes: Duration::ZERO,
            line_takes: Duration::ZERO,
            removal_takes: Duration::ZERO,
            removal_failures: 0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) identity: Identity,
    #[expect(dead_code, reason = "shown where a test fails")]
    spec: ContainerSpec,
    script: Script,
    engine: &'static str,
    pub(crate) exit: Option<ExitStatus>,
}

/// What the machine knows, whoever asks.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The engine that a worker finds there. It does not know the containers of another one.
    pub(crate) engine: &'static str,
    pub(crate) containers: BTreeMap<String, Container>,
    /// Every start that happened, in order.
    pub(crate) started: Vec<Identity>,
    pub(crate) stops: Vec<(String, Duration)>,
    pub(crate) pulls: u32,
    /// How many actions had been started whenever images were put on disk.
    pub(crate) settled_after: Vec<usize>,
    pub(crate) scripts: BTreeMap<String, Script>,
    /// Boots so far, beyond the first.
    pub(crate) reboots: u32,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            engine: "double",
            containers: BTreeMap::new(),
            started: Vec::new(),
            stops: Vec::new(),
            pulls: 0,
            settled_after: Vec::new(),
            scripts: BTreeMap::new(),
            reboots: 0,
        }
    }
}

impl Machine {
    /// A container of the engine that is there now.
    fn container(&self, name: &str) -> Option<&Container> {
        self.containers.get(name).filter(|container| container.engine == self.engine)
    }

    fn script(&self, image: &str) -> Script {
        self.scripts.get(image).cloned().unwrap_or_default()
    }

    /// Everything that runs is gone, and the next life is one of another boot.
    pub(crate) fn reboot(&mut self) {
        self.containers.clear();
        self.reboots += 1;
    }

    /// Everything that runs ends, as it will when nobody looks for a while.
    pub(crate) fn end_all(&mut self) {
        for container in self.containers.values_mut().filter(|container| container.script.runs_for.is_some()) {
            let status = end(&container.script);
            container.exit.get_or_insert(status);
        }
    }
}

fn end(script: &Script) -> ExitStatus {
    ExitStatus { cause: script.exit, oom: script.oom, started_at: None, stopped_at: None }
}

/// One life's view of the machine.
pub(crate) struct Engine {
    pub(crate) machine: Arc<Mutex<Machine>>,
    pub(crate) steps: Arc<Steps>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

fn transient(operation: Operation, subject: &str) -> impl Fn(Hit) -> RuntimeError {
    move |_| RuntimeError::Transient { operation, subject: subject.to_owned(), reason: "planned: away".to_owned() }
}

fn permanent(operation: Operation, subject: &str, reason: &str) -> RuntimeError {
    RuntimeError::Permanent { operation, subject: subject.to_owned(), reason: reason.to_owned() }
}

impl Engine {
    fn record(&self, identity: &Identity) -> HandleRecord {
        HandleRecord {
            runtime: self.name().to_owned(),
            container: identity.container_name(),
            identity: identity.clone(),
            engine: serde_json::Value::Null,
        }
    }

    fn exit_of(&self, record: &HandleRecord) -> Option<Recovered> {
        let machine = self.machine.lock().unwrap();
        let container = machine.container(&record.container)?;
        Some(container.exit.clone().map_or(Recovered::Running, Recovered::Exited))
    }
}

#[async_trait]
impl Runtime for Engine {
    fn name(&self) -> &'static str {
        self.machine.lock().unwrap().engine
    }

    async fn pull(&self, image: &ImageRef, progress: &Progress) -> Result<PullOutcome, RuntimeError> {
        let subject = image.to_string();
        let away = transient(Operation::Pull, &subject);
        self.steps.step("before pull").await.map_err(&away)?;
        let script = {
            let mut machine = self.machine.lock().unwrap();
            machine.pulls += 1;
            let script = machine.script(image.repository());
            if let Some(script) = machine.scripts.get_mut(image.repository()) {
                script.pull_failures = script.pull_failures.saturating_sub(1);
            }
            script
        };
        let layer = LayerProgress { name: "a".to_owned(), bytes_done: 1, bytes_total: 2, state: LayerState::Fetching };
        progress.set(PullProgress { layers: vec![layer] });
        sleep(script.pull_takes).await;
        if let Some(words) = &script.pull_error {
            return Err(permanent(Operation::Pull, &subject, words));
        }
        if script.pull_failures > 0 {
            return Err(away(Hit));
        }
        self.steps.step("after pull").await.map_err(&away)?;
        Ok(PullOutcome::Registry)
    }

    async fn settle(&self) {
        let mut machine = self.machine.lock().unwrap();
        let started = machine.started.len();
        machine.settled_after.push(started);
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        let name = spec.identity.container_name();
        let away = transient(Operation::Start, &name);
        self.steps.step("before start").await.map_err(&away)?;
        let takes = {
            let mut machine = self.machine.lock().unwrap();
            let script = machine.script(spec.image.repository());
            if let Some(words) = &script.start_error {
                return Err(permanent(Operation::Start, &name, words));
            }
            machine.started.push(spec.identity.clone());
            let takes = script.start_takes;
            let engine = machine.engine;
            let container =
                Container { identity: spec.identity.clone(), spec: spec.clone(), script, engine, exit: None };
            machine.containers.insert(name.clone(), container);
            takes
        };
        sleep(takes).await;
        self.steps.step("after start").await.map_err(&away)?;
        Ok(self.record(&spec.identity))
    }

    async fn recover(&self, record: &HandleRecord) -> Result<Recovered, RuntimeError> {
        self.steps.step("recover").await.map_err(transient(Operation::Recover, &record.container))?;
        Ok(self.exit_of(record).unwrap_or(Recovered::Gone))
    }

    async fn find(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        let name = identity.container_name();
        self.steps.step("find").await.map_err(transient(Operation::Recover, &name))?;
        let found = self.machine.lock().unwrap().container(&name).map(|container| container.identity.clone());
        Ok(found.map(|identity| self.record(&identity)))
    }

    async fn wait(&self, record: &HandleRecord) -> Result<ExitStatus, RuntimeError> {
        let away = transient(Operation::Wait, &record.container);
        self.steps.step("before wait").await.map_err(&away)?;
        let runs_for = {
            let machine = self.machine.lock().unwrap();
            machine.containers.get(&record.container).and_then(|container| container.script.runs_for)
        };
        let mut left = runs_for;
        loop {
            match self.exit_of(record) {
                Some(Recovered::Exited(status)) => {
                    self.steps.step("after wait").await.map_err(&away)?;
                    return Ok(status);
                }
                Some(_) => {}
                None => return Err(permanent(Operation::Wait, &record.container, "no such container")),
            }
            sleep(Duration::from_millis(100)).await;
            left = left.map(|left| left.saturating_sub(Duration::from_millis(100)));
            if left == Some(Duration::ZERO)
                && let Some(container) = self.machine.lock().unwrap().containers.get_mut(&record.container)
            {
                let status = end(&container.script);
                container.exit.get_or_insert(status);
            }
        }
    }

    async fn logs(&self, record: &HandleRecord, from: LogPosition, sink: &mut dyn LogSink) -> Result<(), RuntimeError> {
        let away = transient(Operation::Logs, &record.container);
        self.steps.step("logs").await.map_err(&away)?;
        let (lines, line_takes) = {
            let machine = self.machine.lock().unwrap();
            let container = machine.containers.get(&record.container);
            container.map(|container| (container.script.lines.clone(), container.script.line_takes)).unwrap_or_default()
        };
        for (nth, line) in (1..).zip(lines).skip(usize::try_from(from.number()).unwrap()) {
            sleep(line_takes).await;
            self.steps.step("before line").await.map_err(&away)?;
            sink.line(OutputStream::Stdout, line.as_bytes(), LogPosition::at(nth));
        }
        while matches!(self.exit_of(record), Some(Recovered::Running)) {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn stop(&self, record: &HandleRecord, grace: Duration) -> Result<(), RuntimeError> {
        let away = transient(Operation::Stop, &record.container);
        self.steps.step("before stop").await.map_err(&away)?;
        {
            let mut machine = self.machine.lock().unwrap();
            machine.stops.push((record.container.clone(), grace));
            if let Some(container) = machine.containers.get_mut(&record.container) {
                let signal = if container.script.heeds_term { 15 } else { 9 };
                let status =
                    ExitStatus { cause: ExitCause::Signal(signal), oom: false, started_at: None, stopped_at: None };
                container.exit.get_or_insert(status);
            }
        }
        self.steps.step("after stop").await.map_err(&away)?;
        Ok(())
    }

    async fn remove(&self, record: &HandleRecord) -> Result<(), RuntimeError> {
        let away = transient(Operation::Remove, &record.container);
        self.steps.step("before remove").await.map_err(&away)?;
        let takes = {
            let mut machine = self.machine.lock().unwrap();
            let script = machine.containers.get_mut(&record.container).map(|container| &mut container.script);
            if let Some(script) = script
                && script.removal_failures > 0
            {
                script.removal_failures -= 1;
                return Err(away(Hit));
            }
            machine.containers.get(&record.container).map(|container| container.script.removal_takes)
        };
        sleep(takes.unwrap_or_default()).await;
        self.machine.lock().unwrap().containers.remove(&record.container);
        self.steps.step("after remove").await.map_err(&away)?;
        Ok(())
    }
}

/// The runs of an action itself, hooks left out.
pub(crate) fn runs(machine: &Machine, action: &str) -> usize {
    let of = |identity: &&Identity| identity.action.as_str() == action && identity.purpose == Purpose::Action;
    machine.started.iter().filter(of).count()
}
