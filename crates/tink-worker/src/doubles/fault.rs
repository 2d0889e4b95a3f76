//! Steps, and what goes wrong at one of them.

use std::sync::Mutex;

use tokio::sync::Notify;

/// What happens at the chosen step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The worker's process is gone: nothing has an effect any more.
    Crash,
    /// The call fails once, as it would for want of a network, an engine or disk space.
    Error,
    /// The call panics once.
    Panic,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    plan: Option<(u64, Fault)>,
    crashed: bool,
    full: bool,
    log: Vec<String>,
}

/// Counts the steps of one life of the worker. Every call to a double has two: one before its effect, one after.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    state: Mutex<State>,
    crash: Notify,
}

/// The fault hit this call.
#[derive(Debug)]
pub(crate) struct Hit;

impl Steps {
    pub(crate) fn new(plan: Option<(u64, Fault)>) -> Self {
        Self { state: Mutex::new(State { plan, ..State::default() }), crash: Notify::new() }
    }

    fn count(&self, name: &str) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        if state.crashed {
            return Some(Fault::Crash);
        }
        state.count += 1;
        state.log.push(name.to_owned());
        let fault = state.plan.filter(|(at, _)| *at == state.count).map(|(_, fault)| fault);
        if fault == Some(Fault::Crash) {
            state.crashed = true;
            self.crash.notify_one();
        }
        fault
    }

    /// A step of a call that may wait for ever.
    pub(crate) async fn step(&self, name: &str) -> Result<(), Hit> {
        match self.count(name) {
            None => Ok(()),
            Some(Fault::Error) => Err(Hit),
            Some(Fault::Panic) => panic!("planned panic at {name}"),
            Some(Fault::Crash) => std::future::pending().await,
        }
    }

    /// A step of a call that cannot wait: after a crash it fails, which nobody sees.
    pub(crate) fn step_now(&self, name: &str) -> Result<(), Hit> {
        match self.count(name) {
            None => Ok(()),
            Some(Fault::Error | Fault::Crash) => Err(Hit),
            Some(Fault::Panic) => panic!("planned panic at {name}"),
        }
    }

    /// From now on the disk takes nothing, or takes everything again.
    pub(crate) fn set_full(&self, full: bool) {
        self.state.lock().unwrap().full = full;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.state.lock().unwrap().full
    }

    /// Ends when the crash happens.
    pub(crate) async fn crashed(&self) {
        self.crash.notified().await;
    }

    /// Whether the planned step was reached.
    pub(crate) fn was_hit(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.plan.is_some_and(|(at, _)| state.count >= at)
    }

    /// The step at which the fault hit, or the last one.
    pub(crate) fn last(&self) -> String {
        self.state.lock().unwrap().log.last().cloned().unwrap_or_default()
    }
}
