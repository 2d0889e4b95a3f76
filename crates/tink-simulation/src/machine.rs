//! A machine: its clocks, and a container engine whose containers outlive the worker but not the power.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tink_runtime::{
    ContainerSpec, ExitCause, ExitStatus, HandleRecord, Identity, LogPosition, LogSink, Operation, OutputStream,
    Progress, PullOutcome, Recovered, Runtime, RuntimeError,
};
use tink_server::simulation::MemoryStore;
use tink_worker::Clock;
use tink_workflow::{ImageRef, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::ledger::Ledger;
use crate::life::Life;
use crate::random::{Random, mix};

/// What the container of an action does: it follows from the action's name alone.
#[derive(Clone, Debug)]
pub struct Script {
    /// How long it runs.
    pub runs_for: Duration,
    /// How it ends.
    pub code: i32,
    /// What it says, evenly over its time.
    pub lines: u64,
    /// Whether it is there to end its machine.
    pub ends_machine: bool,
    /// From its start until the machine goes down, which may be while it runs or after its end.
    pub goes_down_after: Option<Duration>,
}

impl Script {
    /// The script of an action.
    #[must_use]
    pub fn of(action: &str) -> Self {
        let bits = mix(action.bytes().fold(7, |hash, byte| mix(hash ^ u64::from(byte))));
        let seconds = match bits % 8 {
            0 => 0,
            1..=5 => bits / 8 % 20,
            _ => bits / 8 % 200,
        };
        let code = if bits >> 32 & 7 == 0 { 3 } else { 0 };
        let runs_for = Duration::from_millis(seconds * 1000 + bits / 64 % 1000);
        let ends_machine = bits >> 44 & 7 == 0;
        // One that fails found nothing to boot.
        let goes_down_after = (ends_machine && code == 0).then(|| runs_for.mul_f64((bits >> 50 & 7) as f64 / 4.0));
        Self { runs_for, code, lines: bits >> 40 & 7, ends_machine, goes_down_after }
    }

    /// Its `nth` line.
    #[must_use]
    pub fn line(nth: u64) -> String {
        format!("line {nth}")
    }
}

#[derive(Debug)]
struct Container {
    identity: Identity,
    script: Script,
    begun: Instant,
    /// Ended by a signal at that moment.
    stopped: Option<Instant>,
}

impl Container {
    fn ends(&self) -> Instant {
        let own = self.begun + self.script.runs_for;
        self.stopped.map_or(own, |stopped| stopped.min(own))
    }

    fn exit(&self) -> Option<ExitStatus> {
        let cause = match self.stopped {
            Some(stopped) if stopped < self.begun + self.script.runs_for => ExitCause::Signal(15),
            _ => ExitCause::Code(self.script.code),
        };
        (self.ends() <= Instant::now()).then_some(ExitStatus { cause, oom: false, started_at: None, stopped_at: None })
    }
}

#[derive(Debug)]
struct State {
    containers: BTreeMap<String, Container>,
    boot: u64,
    booted: Instant,
    /// The boot that a container ends, or has ended.
    ended: u64,
    /// Seconds that its wall clock is off.
    off_s: i64,
    /// Calls to the engine that fail, of a thousand.
    failing: u64,
    /// Whether calls ever failed: the worker waits for output for a bounded time only.
    failed: bool,
}

/// A machine; clones are the same one.
#[derive(Clone)]
pub struct Machine {
    /// Its place among the machines.
    pub number: usize,
    state: Arc<Mutex<State>>,
    goes_down: Arc<Notify>,
    begun: Instant,
    random: Random,
    ledger: Ledger,
    store: MemoryStore,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({})", self.number)
    }
}

/// The wall clock at the beginning of every world.
pub const EPOCH_S: i64 = 1_800_000_000;

impl Machine {
    /// A machine that was just switched on. It looks into `store` only to hold what it does against it.
    #[must_use]
    pub fn new(number: usize, random: Random, ledger: Ledger, store: MemoryStore) -> Self {
        let state = State {
            containers: BTreeMap::new(),
            boot: 1,
            booted: Instant::now(),
            ended: 0,
            off_s: 0,
            failing: 0,
            failed: false,
        };
        let (state, goes_down) = (Arc::new(Mutex::new(state)), Arc::new(Notify::new()));
        Self { number, state, goes_down, begun: Instant::now(), random, ledger, store }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that runs is gone.
    pub fn reboot(&self) {
        let mut state = self.lock();
        state.containers.clear();
        state.boot += 1;
        state.booted = Instant::now();
    }

    /// Waits until a container ends the machine, and the time comes to boot it.
    pub async fn goes_down(&self) {
        loop {
            {
                let state = self.lock();
                if state.ended == state.boot {
                    return;
                }
            }
            self.goes_down.notified().await;
        }
    }

    /// The container of that name ends the machine in a while, unless it is stopped or something else does it before.
    fn goes_down_in(&self, after: Duration, container: String, boot: u64) {
        let machine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let mut state = machine.lock();
            let stopped = state.containers.get(&container).is_some_and(|container| container.stopped.is_some());
            if state.boot != boot || stopped {
                return;
            }
            state.ended = boot;
            drop(state);
            machine.ledger.note(format_args!("{container} ends machine {}", machine.number));
            machine.goes_down.notify_one();
        });
    }

    /// From now on the wall clock is off by so much.
    pub fn set_clock_off(&self, seconds: i64) {
        self.lock().off_s = seconds;
    }

    /// From now on so many calls of a thousand fail.
    pub fn set_failing(&self, permille: u64) {
        let mut state = self.lock();
        state.failing = permille;
        state.failed |= permille > 0;
    }

    /// Whether calls to the engine ever failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.lock().failed
    }
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.begun.elapsed().as_secs()).unwrap_or(0);
        Timestamp::from_second(EPOCH_S + seconds + self.lock().off_s).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn uptime(&self) -> Duration {
        self.lock().booted.elapsed()
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.lock().boot)
    }
}

/// The engine as one process sees it.
#[derive(Clone, Debug)]
pub struct Engine {
    machine: Machine,
    life: Life,
}

impl Engine {
    /// The engine of `machine` for the process `life`.
    #[must_use]
    pub fn new(machine: Machine, life: Life) -> Self {
        Self { machine, life }
    }

    /// A step of a call: the process may die here, the engine may take its time, or fail.
    async fn step(&self, operation: Operation, subject: &str) -> Result<(), RuntimeError> {
        self.life.step_or_die().await;
        let random = &self.machine.random;
        // Output that is slow is given up after a while, which is no fault of anybody.
        if !matches!(operation, Operation::Logs) && random.chance(200) {
            tokio::time::sleep(random.millis(1, 3000)).await;
        }
        let failing = self.machine.lock().failing;
        if random.chance(failing) {
            let (subject, reason) = (subject.to_owned(), "simulated: the engine is away".to_owned());
            return Err(RuntimeError::Transient { operation, subject, reason });
        }
        Ok(())
    }

    fn record(identity: &Identity) -> HandleRecord {
        HandleRecord {
            runtime: "simulated".to_owned(),
            container: identity.container_name(),
            identity: identity.clone(),
            engine: serde_json::Value::Null,
        }
    }

    fn ends(&self, record: &HandleRecord) -> Option<Instant> {
        self.machine.lock().containers.get(&record.container).map(Container::ends)
    }
}

fn gone(operation: Operation, subject: &str) -> RuntimeError {
    RuntimeError::Permanent { operation, subject: subject.to_owned(), reason: "no such container".to_owned() }
}

#[async_trait]
impl Runtime for Engine {
    fn name(&self) -> &'static str {
        "simulated"
    }

    async fn pull(&self, image: &ImageRef, _: &Progress) -> Result<PullOutcome, RuntimeError> {
        let subject = image.to_string();
        self.step(Operation::Pull, &subject).await?;
        self.step(Operation::Pull, &subject).await?;
        Ok(PullOutcome::Registry)
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        let name = spec.identity.container_name();
        self.step(Operation::Start, &name).await?;
        let action = spec.identity.action.as_str();
        let script = Script::of(action);
        let boot = {
            let mut state = self.machine.lock();
            let (identity, script) = (spec.identity.clone(), script.clone());
            let container = Container { identity, script, begun: Instant::now(), stopped: None };
            state.containers.insert(name.clone(), container);
            state.boot
        };
        let stored = self.machine.store.now(&spec.identity.workflow);
        let stored = stored.as_ref().map(|stored| &stored.workflow);
        self.machine.ledger.started(action, self.machine.number, boot, &script, stored);
        if let Some(after) = script.goes_down_after {
            self.machine.goes_down_in(after, name.clone(), boot);
        }
        self.step(Operation::Start, &name).await?;
        Ok(Self::record(&spec.identity))
    }

    async fn recover(&self, record: &HandleRecord) -> Result<Recovered, RuntimeError> {
        self.step(Operation::Recover, &record.container).await?;
        let state = self.machine.lock();
        Ok(match state.containers.get(&record.container) {
            None => Recovered::Gone,
            Some(container) => container.exit().map_or(Recovered::Running, Recovered::Exited),
        })
    }

    async fn find(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        let name = identity.container_name();
        self.step(Operation::Recover, &name).await?;
        Ok(self.machine.lock().containers.get(&name).map(|container| Self::record(&container.identity)))
    }

    async fn wait(&self, record: &HandleRecord) -> Result<ExitStatus, RuntimeError> {
        self.step(Operation::Wait, &record.container).await?;
        loop {
            let ends = self.ends(record).ok_or_else(|| gone(Operation::Wait, &record.container))?;
            sleep_until(ends).await;
            self.step(Operation::Wait, &record.container).await?;
            let state = self.machine.lock();
            let container = state.containers.get(&record.container);
            if let Some(status) = container.and_then(Container::exit) {
                return Ok(status);
            }
        }
    }

    async fn logs(&self, record: &HandleRecord, from: LogPosition, sink: &mut dyn LogSink) -> Result<(), RuntimeError> {
        self.step(Operation::Logs, &record.container).await?;
        let mut nth = from.number();
        loop {
            let (begun, script) = match self.machine.lock().containers.get(&record.container) {
                Some(container) => (container.begun, container.script.clone()),
                None => return Err(gone(Operation::Logs, &record.container)),
            };
            let ends = self.ends(record).unwrap_or_else(Instant::now);
            if nth >= script.lines {
                sleep_until(ends).await;
                return Ok(());
            }
            let said = begun + script.runs_for.mul_f64((nth + 1) as f64 / (script.lines + 1) as f64);
            if said > ends {
                sleep_until(ends).await;
                return Ok(());
            }
            sleep_until(said).await;
            self.step(Operation::Logs, &record.container).await?;
            nth += 1;
            sink.line(OutputStream::Stdout, Script::line(nth - 1).as_bytes(), LogPosition::at(nth));
        }
    }

    async fn stop(&self, record: &HandleRecord, _: Duration) -> Result<(), RuntimeError> {
        self.step(Operation::Stop, &record.container).await?;
        let boot = {
            let mut state = self.machine.lock();
            if let Some(container) = state.containers.get_mut(&record.container) {
                container.stopped.get_or_insert_with(Instant::now);
            }
            state.boot
        };
        self.machine.ledger.stopped(record.identity.action.as_str(), self.machine.number, boot);
        self.step(Operation::Stop, &record.container).await
    }

    async fn remove(&self, record: &HandleRecord) -> Result<(), RuntimeError> {
        self.step(Operation::Remove, &record.container).await?;
        self.machine.lock().containers.remove(&record.container);
        self.step(Operation::Remove, &record.container).await
    }
}
