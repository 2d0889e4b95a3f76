//! What happened, and whether it may have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tink_workflow::{Action, ActionState, Workflow};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::machine::Script;

/// Leases in the world.
pub const LEASE: Duration = Duration::from_secs(60);
/// From the server's decision to the commit of it, at most.
pub const STORING_MS: u64 = 1000;

/// One start of an action's container.
#[derive(Clone, Debug)]
struct Start {
    machine: usize,
    boot: u64,
    ends: Instant,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Process {
    heard: Option<Instant>,
    /// Open connections to the server, and when the last one was closed.
    lines: usize,
    closed: Option<Instant>,
    /// When it was heard of again after its lease had run out.
    back: Option<Instant>,
}

impl Process {
    /// Whether the server has to hold it for alive, which runs since `started`.
    fn lives(&self, started: Instant) -> bool {
        let last = self.heard.into_iter().chain(self.closed).fold(started, Instant::max);
        self.lines > 0 || last.elapsed() < LEASE
    }

    /// A sign of life.
    fn sign(&mut self, started: Instant) {
        if !self.lives(started) {
            self.back = Some(Instant::now());
        }
    }
}

#[derive(Debug)]
struct Books {
    begun: Instant,
    hash: u64,
    text: String,
    /// Everything, where somebody wants to read it.
    lines: Option<Vec<String>>,
    violation: Option<String>,
    starts: BTreeMap<String, Vec<Start>>,
    processes: BTreeMap<String, Process>,
    /// Processes that took an action over, legitimately.
    takeovers: BTreeMap<String, u32>,
    /// Results that a machine's journal has, by action.
    stored: BTreeSet<(String, usize)>,
    /// What the worker of each machine calls itself, and the actions it got leave to start since the machine was booted.
    names: BTreeMap<usize, String>,
    leaves: BTreeSet<(String, String)>,
    /// Actions that the server knows are about to end a machine, by the process that told it since that machine was booted;
    /// and whether it has started the action, and told the server if it failed.
    announced: BTreeMap<(String, String), bool>,
    server_started: Instant,
    epoch: u64,
    stats: Stats,
}

/// How much happened in a world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Containers started.
    pub starts: u64,
    /// Processes killed, machines and servers included.
    pub crashes: u64,
    /// Actions that another process took over.
    pub takeovers: u64,
    /// Simulated milliseconds.
    pub millis: u64,
}

/// The books of one world; clones share them.
#[derive(Clone, Debug)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
    pub(crate) violated: Arc<Notify>,
}

impl Ledger {
    /// Empty books, which keep their lines for people if `told`.
    #[must_use]
    pub fn new(told: bool) -> Self {
        let books = Books {
            begun: Instant::now(),
            hash: 0xcbf2_9ce4_8422_2325,
            text: String::new(),
            lines: told.then(Vec::new),
            violation: None,
            starts: BTreeMap::new(),
            processes: BTreeMap::new(),
            takeovers: BTreeMap::new(),
            stored: BTreeSet::new(),
            names: BTreeMap::new(),
            leaves: BTreeSet::new(),
            announced: BTreeMap::new(),
            server_started: Instant::now(),
            epoch: 0,
            stats: Stats::default(),
        };
        Self { books: Arc::new(Mutex::new(books)), violated: Arc::new(Notify::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line into the trace.
    pub fn note(&self, what: std::fmt::Arguments<'_>) {
        self.lock().note(what);
    }

    /// Something that must not be.
    pub fn violation(&self, what: String) {
        let mut books = self.lock();
        books.note(format_args!("VIOLATION {what}"));
        books.violation.get_or_insert(what);
        self.violated.notify_one();
    }

    /// The first thing that must not have been.
    #[must_use]
    pub fn first_violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// The trace in one number, its lines, and how much happened.
    #[must_use]
    pub fn close(&self) -> (u64, Vec<String>, Stats) {
        let mut books = self.lock();
        let millis = u64::try_from(books.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        (books.hash, books.lines.take().unwrap_or_default(), Stats { millis, ..books.stats })
    }

    /// A process, machine or server was killed.
    pub fn crashed(&self, what: std::fmt::Arguments<'_>) {
        let mut books = self.lock();
        books.stats.crashes += 1;
        books.note(what);
    }

    /// The server started: that counts as a sign of life of everybody.
    pub fn server_started(&self) {
        let mut books = self.lock();
        books.server_started = Instant::now();
        books.epoch += 1;
        for process in books.processes.values_mut() {
            // Connections to an earlier life of the server are none to this one.
            (process.lines, process.closed) = (0, None);
        }
        books.note(format_args!("server starts"));
    }

    /// A call of a process reached the server.
    pub fn heard(&self, process: &str) {
        let mut books = self.lock();
        let started = books.server_started;
        let known = books.processes.entry(process.to_owned()).or_default();
        known.sign(started);
        known.heard = Some(Instant::now());
    }

    /// A process has one more connection to a life of the server, or one less.
    pub fn line(&self, process: &str, epoch: u64, opened: bool) {
        let mut books = self.lock();
        if books.epoch != epoch {
            return;
        }
        let started = books.server_started;
        let known = books.processes.entry(process.to_owned()).or_default();
        if opened {
            known.sign(started);
            known.lines += 1;
        } else {
            known.lines = known.lines.saturating_sub(1);
            known.closed = Some(Instant::now());
        }
    }

    /// The result of an action is in a machine's journal.
    pub fn result_stored(&self, action: &str, machine: usize) {
        self.lock().stored.insert((action.to_owned(), machine));
    }

    /// A machine's disk is empty.
    pub fn wiped(&self, machine: usize) {
        self.lock().stored.retain(|(_, of)| *of != machine);
    }

    /// A machine was booted: leave that it got before is none any more.
    pub fn rebooted(&self, machine: usize) {
        let mut books = self.lock();
        if let Some(name) = books.names.get(&machine).cloned() {
            books.leaves.retain(|(_, of)| *of != name);
            books.announced.retain(|(_, of), _| *of != name);
        }
    }

    /// The server answered a process that an action is about to end its machine.
    pub fn announced(&self, action: &str, process: &str, accepted: bool) {
        let mut books = self.lock();
        let key = (action.to_owned(), process.to_owned());
        if accepted {
            books.announced.entry(key).or_insert(false);
        } else {
            books.announced.remove(&key);
        }
    }

    /// A process tells, or was answered when it told, that an action did not end its machine.
    pub fn stays(&self, action: &str, process: &str, answered: bool) {
        if let Some(done) = self.lock().announced.get_mut(&(action.to_owned(), process.to_owned())) {
            *done = answered;
        }
    }

    /// A process asks for work, by which it says that its machine has ended, if it was to.
    pub fn asks_for_work(&self, process: &str) {
        let books = self.lock();
        let silent = books.announced.iter().find(|((_, of), done)| of == process && !**done);
        let silent = silent.map(|((action, _), _)| action.clone());
        drop(books);
        if let Some(action) = silent {
            self.violation(format!(
                "{action} was announced, and work is asked for before it was started, or its failure was heard"
            ));
        }
    }

    /// The worker of a machine calls itself so.
    pub fn lives(&self, machine: usize, name: &str) {
        self.lock().names.insert(machine, name.to_owned());
    }

    /// A process got leave to start an action.
    pub fn leave(&self, action: &str, process: &str) {
        self.lock().leaves.insert((action.to_owned(), process.to_owned()));
    }

    /// A container of an action was started.
    pub fn started(&self, action: &str, machine: usize, boot: u64, script: &Script, stored: Option<&Workflow>) {
        let mut books = self.lock();
        books.stats.starts += 1;
        books.note(format_args!("machine {machine} boot {boot} starts {action}"));
        let earlier = books.starts.entry(action.to_owned()).or_default();
        let again = earlier.iter().any(|start| start.machine == machine && start.boot == boot);
        let is_again = !earlier.is_empty();
        let elsewhere = earlier.iter().any(|start| start.machine != machine);
        let ends = Instant::now() + script.runs_for;
        earlier.push(Start { machine, boot, ends, stopped: false });
        let taken_over = books.takeovers.contains_key(action);
        let done = books.stored.contains(&(action.to_owned(), machine));
        let name = books.names.get(&machine).cloned().unwrap_or_default();
        let has_leave = books.leaves.contains(&(action.to_owned(), name.clone()));
        let ends_unannounced = match books.announced.get_mut(&(action.to_owned(), name)) {
            Some(started) => {
                *started = true;
                false
            }
            None => script.ends_machine,
        };
        drop(books);
        if ends_unannounced {
            self.violation(format!("{action} is to end its machine and was started before the server knew"));
        }
        if script.ends_machine && is_again {
            self.violation(format!("{action} is to end its machine and was started a second time"));
        }
        if done {
            self.violation(format!("{action} was started again where its result is on disk"));
        }
        if !has_leave {
            self.violation(format!("{action} was started without leave"));
        }
        if again {
            self.violation(format!("{action} was started twice in one boot of machine {machine}"));
        }
        if elsewhere && !taken_over {
            self.violation(format!("{action} was started on a second machine while the first one had it"));
        }
        if let Some(workflow) = stored
            && let Some((_, known)) = workflow.actions().find(|(_, known)| known.id.as_str() == action)
        {
            if known.state == ActionState::Pending {
                self.violation(format!("{action} was started and the server does not know"));
            }
            let before = workflow.actions().take_while(|(_, known)| known.id.as_str() != action);
            if before.into_iter().any(|(_, known)| known.state != ActionState::Success) {
                self.violation(format!("{action} was started before its turn"));
            }
        }
    }

    /// A container was stopped before its end.
    pub fn stopped(&self, action: &str, machine: usize, boot: u64) {
        let mut books = self.lock();
        books.note(format_args!("machine {machine} stops {action}"));
        for start in books.starts.entry(action.to_owned()).or_default() {
            start.stopped |= start.machine == machine && start.boot == boot && start.ends > Instant::now();
        }
    }

    /// A workflow was committed.
    pub fn committed(&self, before: Option<&Workflow>, after: Option<&Workflow>) {
        let Some(after) = after else {
            if let Some(before) = before {
                self.note(format_args!("{} deleted", before.id));
            }
            return;
        };
        self.note(format_args!("{} {}{}", after.id, after.state, States(after)));
        let mut past_turn = false;
        for (_, action) in after.actions() {
            if past_turn && action.state != ActionState::Pending {
                self.violation(format!("{} is {} out of turn", action.id, action.state));
            }
            past_turn |= action.state != ActionState::Success;
        }
        let Some(before) = before else { return };
        if before.state.is_terminal() && before.state != after.state {
            self.violation(format!("{} ended {} and is {}", after.id, before.state, after.state));
        }
        for ((_, was), (_, is)) in before.actions().zip(after.actions()) {
            if was.state != is.state {
                self.changed(before, was, is);
            }
        }
        self.hand_over(before, after);
    }

    fn changed(&self, workflow: &Workflow, was: &Action, is: &Action) {
        if was.state.is_terminal() {
            self.violation(format!("{} ended {} and is {}", is.id, was.state, is.state));
        }
        if workflow.state.is_terminal() && was.state == ActionState::Pending {
            self.violation(format!("{} began after the end of its workflow", is.id));
        }
        let script = Script::of(is.id.as_str());
        let now = Instant::now();
        let ended = self
            .lock()
            .starts
            .get(is.id.as_str())
            .is_some_and(|starts| starts.iter().any(|start| start.ends <= now && !start.stopped));
        // Of a stop that no disk took down, the next life of the worker sees only the signal.
        let stopped =
            self.lock().starts.get(is.id.as_str()).is_some_and(|starts| starts.iter().any(|start| start.stopped));
        let is_so = match is.state {
            // Announced, it is a success unless something else is heard.
            ActionState::Success => ended && script.code == 0 || was.leaving_until.is_some(),
            ActionState::Failed => ended && script.code != 0 || stopped,
            ActionState::Timeout => is.spec.timeout_s > 0,
            ActionState::Pending | ActionState::Running => true,
        };
        if !is_so {
            self.violation(format!("{} is {}, which no container of it was: {}", is.id, is.state, is.message));
        }
    }

    /// Whether an action that goes to another process may.
    fn hand_over(&self, before: &Workflow, after: &Workflow) {
        let (Some(was), Some(is)) = (&before.current, &after.current) else { return };
        if was.worker != is.worker || was.task != is.task || was.holder == is.holder {
            return;
        }
        let mut books = self.lock();
        books.stats.takeovers += 1;
        *books.takeovers.entry(is.action.to_string()).or_default() += 1;
        let name = was.holder.strip_prefix("instance ").unwrap_or(&was.holder).to_owned();
        let started = books.server_started;
        let known = books.processes.entry(name).or_default();
        // A call that came while the hand-over was being stored is one of a process that had lost its lease.
        let lives =
            known.lives(started) && known.back.is_none_or(|back| back.elapsed() > Duration::from_millis(STORING_MS));
        books.note(format_args!("{} is taken over", is.action));
        drop(books);
        if lives {
            self.violation(format!("{} was taken from a process that is alive", is.action));
        }
    }
}

impl Books {
    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.text.clear();
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{:>9} {what}", self.begun.elapsed().as_millis());
        // FNV-1a
        for byte in self.text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(self.text.clone());
        }
    }
}

struct States<'a>(&'a Workflow);

impl std::fmt::Display for States<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.actions().try_for_each(|(_, action)| write!(f, " {}:{}", action.id, action.state))
    }
}
