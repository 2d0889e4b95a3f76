//! The main loop: asks for work, runs it, reports it, and never gives up.

mod before_engine;
mod lease;
mod leftovers;
mod link;
mod offer;
mod passed_over;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tink_runtime::{Identity, Runtime};
use tink_workflow::{ActionId, ActionState, WorkerId, WorkflowId};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::events::Events;
use crate::executor::{Executor, ExecutorSettings, Outcome};
use crate::journal::{Disk, EntryId, Journal, JournalError, JournalLimits, Phase, RealDisk};
use crate::reporter::{Reporter, ReporterHandle};
use crate::transport::{Next, Transport, TransportError};
use crate::{Backoff, Clock, Report, SystemClock, error_chain};
use leftovers::Leftovers;
use link::Link;
use passed_over::Gone;

/// Everything a worker needs beside its transport and its engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who it is.
    pub id: WorkerId,
    /// Where the journal is.
    pub state_dir: PathBuf,
    /// Bounds of the journal.
    pub journal: JournalLimits,
    /// Cap of the pauses between requests for work and between reports, before the jitter.
    pub backoff_max: Duration,
    /// How actions are run.
    pub executor: ExecutorSettings,
    /// For reports that are on their way when the worker is stopped.
    pub stop_timeout: Duration,
    /// Whoever watches.
    pub events: Events,
    /// The machine's clocks.
    pub clock: Arc<dyn Clock>,
    /// The journal's disk.
    pub disk: Arc<dyn Disk>,
}

impl Settings {
    /// Defaults for a worker of this id with its journal in `state_dir`.
    #[must_use]
    pub fn new(id: WorkerId, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            id,
            state_dir: state_dir.into(),
            journal: JournalLimits::default(),
            backoff_max: Duration::from_secs(5),
            executor: ExecutorSettings::default(),
            stop_timeout: Duration::from_secs(3),
            events: Events::none(),
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk),
        }
    }
}

/// Why a worker's loop ended. No failure of a server, network, registry, engine, disk or clock is among the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop. What runs goes on in its container.
    Stopped,
    /// The transport has an end and it was reached.
    Finished,
}

/// A worker: one transport, one engine, one journal.
pub struct Worker {
    settings: Settings,
    transport: Arc<dyn Transport>,
    engine: BoxFuture<'static, Arc<dyn Runtime>>,
    journal: Journal,
}

impl Worker {
    /// Opens the journal. Nothing runs before [`Worker::run`].
    ///
    /// # Errors
    /// [`JournalError::Open`] when the state directory cannot be used.
    pub fn new(
        settings: Settings,
        transport: Arc<dyn Transport>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, JournalError> {
        let journal = Journal::open(&settings.state_dir, Arc::clone(&settings.disk), settings.journal.clone())?;
        Ok(Self::waiting(settings, transport, journal, std::future::ready(runtime)))
    }

    /// A worker whose engine may not answer yet. Until `engine` ends, what the journal holds is reported, and the server
    /// hears that what was started still runs; nothing new is asked for.
    pub fn waiting(
        settings: Settings,
        transport: Arc<dyn Transport>,
        journal: Journal,
        engine: impl Future<Output = Arc<dyn Runtime>> + Send + 'static,
    ) -> Self {
        Self { settings, transport, engine: engine.boxed(), journal }
    }

    /// Tells, at any time, whether something is left to do.
    #[must_use]
    pub fn idle(&self) -> Idle {
        Idle(self.journal.clone())
    }

    /// Takes up what an earlier life left, then asks for work and runs it until `stop` is cancelled or the transport
    /// is finished. After a stop it returns within [`Settings::stop_timeout`].
    pub async fn run(self, stop: CancellationToken) -> Ended {
        let Self { settings, transport, engine, journal } = self;
        let runtime = tokio::select! {
            biased;
            () = stop.cancelled() => return Ended::Stopped,
            runtime = engine => runtime,
            never = before_engine::keep_in_touch(&settings, &transport, &journal) => match never {},
        };
        info!(worker = %settings.id, runtime = runtime.name(), journal = %journal.root().display(), "worker starts");
        Dispatcher::new(settings, transport, runtime, journal).run(&stop).await
    }
}

/// A view of what a worker has to do.
#[derive(Clone, Debug)]
pub struct Idle(Journal);

impl Idle {
    /// Whether nothing runs, and every result is acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open().is_empty()
    }

    /// The numbers of the assignments that run, or whose results are not acknowledged.
    #[must_use]
    pub fn open(&self) -> BTreeSet<u64> {
        let entries = self.0.entries().into_iter();
        let open = entries.filter(|entry| !matches!(entry.phase(), Phase::Assigned | Phase::Closed));
        open.map(|entry| entry.id.0).collect()
    }

    /// The containers that the engine may hold for it, running or not: for each action that of the newest run, and that
    /// of its hook.
    #[must_use]
    pub fn containers(&self) -> Vec<Identity> {
        self.0.containers()
    }
}

/// What became of an action's task.
type ActionEnd = Result<Outcome, JoinError>;
/// What became of a request for work, and how long the server took.
type PollEnd = (Result<Next, TransportError>, Duration);

/// Today's server holds a report that fails on its side, such as one for a workflow that was deleted, for a minute before
/// it answers; other work need not wait for that.
const FIRST_TRY_MAX: Duration = Duration::from_secs(5);

/// A server that reads from a cache shows what was so a moment ago; what it says for longer than this is so.
const STALE_MAX: Duration = Duration::from_secs(10);

/// A removal takes an engine two minutes at most; where nobody waits for the worker to end, it waits for that.
const LAST_CHORES_MAX: Duration = Duration::from_secs(150);

/// A request that took so long was held by the server, which is as good as a pause.
const HELD: Duration = Duration::from_secs(10);

/// Without an action for so long, the worker has time for what may keep the disk busy.
const SETTLE_AFTER: Duration = Duration::from_secs(5);

struct Dispatcher {
    settings: Settings,
    transport: Arc<dyn Transport>,
    journal: Journal,
    executor: Executor,
    /// The reporter's task; made anew if it ever panics.
    reporter: JoinSet<()>,
    /// The action that runs.
    action: JoinSet<Outcome>,
    current: Option<EntryId>,
    /// The request for work that is under way.
    poll: JoinSet<PollEnd>,
    poll_at: Instant,
    backoff: Backoff,
    /// First tries of reports, and removals of containers; while there are some, no new work is asked for.
    tried: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Entries of an earlier life, to be taken up before anything else.
    take_up: VecDeque<EntryId>,
    /// Entries whose container was looked for in this life and is gone.
    gone: Gone,
    /// An action that ended and that the server shows as not begun, and since when.
    anew: Option<((WorkflowId, ActionId), Instant)>,
    chores: JoinSet<()>,
    /// Tries removals of containers again that failed.
    leftovers: Leftovers,
    /// Puts images on disk when there is nothing else to do.
    settling: JoinSet<()>,
    /// Keeps the lease of the action that runs.
    renewal: JoinSet<()>,
    link: Link,
    journal_failing: bool,
    /// Cuts the pause before a request for work short.
    hurry: Arc<Notify>,
}

impl Dispatcher {
    fn new(settings: Settings, transport: Arc<dyn Transport>, runtime: Arc<dyn Runtime>, journal: Journal) -> Self {
        let mut reporter = JoinSet::new();
        let hurry = Arc::new(Notify::new());
        let handle = spawn_reporter(&mut reporter, &transport, &journal, &settings, &hurry);
        let executor = Executor {
            runtime,
            journal: journal.clone(),
            clock: Arc::clone(&settings.clock),
            events: settings.events.clone(),
            reporter: handle,
            settings: settings.executor.clone(),
        };
        Self {
            backoff: Backoff::new(settings.backoff_max),
            link: Link::new(settings.events.clone()),
            settings,
            transport,
            journal,
            executor,
            reporter,
            action: JoinSet::new(),
            current: None,
            poll: JoinSet::new(),
            poll_at: Instant::now(),
            tried: FuturesUnordered::new(),
            take_up: VecDeque::new(),
            gone: Gone::default(),
            anew: None,
            chores: JoinSet::new(),
            leftovers: Leftovers::default(),
            settling: JoinSet::new(),
            renewal: JoinSet::new(),
            journal_failing: false,
            hurry,
        }
    }

    async fn run(mut self, stop: &CancellationToken) -> Ended {
        self.survey().await;
        self.settle_later();
        let ended = loop {
            self.start_next();
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ended::Stopped,
                Some(end) = self.action.join_next() => self.action_ended(end).await,
                Some(()) = self.tried.next() => {}
                Some(end) = self.reporter.join_next() => self.reporter_ended(&end).await,
                Some(_) = self.chores.join_next() => {}
                Some(_) = self.leftovers.tries.join_next() => {}
                Some(_) = self.settling.join_next() => {}
                // Only a panic, or our own abort, ends it.
                Some(_) = self.renewal.join_next() => {}
                Some(end) = self.poll.join_next() => {
                    let (answer, took) = end.unwrap_or_else(|panic| (Err(poll_panicked(&panic)), Duration::ZERO));
                    if self.answered(answer, took).await {
                        break Ended::Finished;
                    }
                }
            }
        };
        self.wind_up(ended, stop).await;
        ended
    }

    /// What the journal holds from earlier lives.
    async fn survey(&mut self) {
        self.clear_up_leftovers(None);
        for entry in self.journal.entries() {
            match entry.phase() {
                Phase::Attempted | Phase::Started | Phase::Ended => self.take_up.push_back(entry.id),
                Phase::Finished => {
                    if let Some(report) = &entry.result {
                        let assignment = &entry.assignment;
                        info!(
                            workflow = %assignment.workflow, action = %assignment.name, state = %report.state,
                            "reporting a result of an earlier life of the worker"
                        );
                        self.report(entry.id, &entry.assignment, report).await;
                    }
                }
                // Nothing was started: the server offers it again, or nothing is lost.
                Phase::Assigned | Phase::Closed => {}
            }
        }
    }

    /// Starts whatever is next: an entry to take up, or a request for work.
    fn start_next(&mut self) {
        if !self.action.is_empty() {
            return;
        }
        while let Some(id) = self.take_up.pop_front() {
            let Some(entry) = self.journal.entry(id) else { continue };
            let executor = self.executor.clone();
            self.current = Some(id);
            self.settling.abort_all();
            self.renew_lease(&entry.assignment, true);
            self.action.spawn(async move { executor.take_up(entry).await });
            return;
        }
        // A result is tried before new work is asked for: today's servers offer the next action only after it.
        if self.poll.is_empty() && self.tried.is_empty() {
            let (transport, at, hurry) = (Arc::clone(&self.transport), self.poll_at, Arc::clone(&self.hurry));
            self.poll.spawn(async move {
                tokio::select! {
                    biased;
                    () = sleep_until(at) => {}
                    () = hurry.notified() => {}
                }
                let begun = Instant::now();
                let answer = transport.next().await;
                (answer, begun.elapsed())
            });
        }
    }

    /// Keeps the lease of the action that runs.
    fn renew_lease(&mut self, assignment: &Arc<crate::Assignment>, at_once: bool) {
        self.renewal.abort_all();
        if assignment.lease_s > 0 {
            self.renewal.spawn(lease::keep(Arc::clone(&self.transport), Arc::clone(assignment), at_once));
        }
    }

    /// After the next action if one comes before.
    fn settle_later(&mut self) {
        self.settling.abort_all();
        let runtime = Arc::clone(&self.executor.runtime);
        self.settling.spawn(async move {
            tokio::time::sleep(SETTLE_AFTER).await;
            runtime.settle().await;
        });
    }

    async fn action_ended(&mut self, end: ActionEnd) {
        self.renewal.abort_all();
        self.settle_later();
        let id = self.current.take();
        let outcome = match (end, id) {
            (Ok(outcome), _) => outcome,
            (Err(panic), Some(id)) => match self.action_panicked(id, &panic).await {
                Some(outcome) => outcome,
                None => return,
            },
            (Err(_), None) => return,
        };
        match (outcome, id) {
            (Outcome::Finished(report, leftovers), Some(id)) => {
                self.gone.remove(id);
                if let Some(entry) = self.journal.entry(id) {
                    self.report(id, &entry.assignment, &report).await;
                }
                if let Some(entry) = leftovers {
                    self.clear_up(*entry);
                }
                self.journal_failing = false;
                self.ask_at_once();
            }
            (Outcome::NotStarted(error), _) => {
                self.link.down(&error);
                self.ask_later();
            }
            (Outcome::Gone, Some(id)) => {
                self.gone.insert(id);
            }
            (Outcome::Journal(error), _) => self.journal_failed(&error),
            (Outcome::Finished(..) | Outcome::Gone, None) | (Outcome::Refused, _) => self.ask_later(),
        }
    }

    /// Hands a result to the reporter; no work is asked for before it was tried once, unless the server takes long over it.
    async fn report(&mut self, id: EntryId, assignment: &Arc<crate::Assignment>, report: &Report) {
        let tried = self.executor.reporter.result(id, assignment, report).await;
        // The reporter goes on by itself; what is dropped here is only the waiting.
        self.tried.push(match assignment.has_stayed(report.state) {
            true => Box::pin(tried),
            false => Box::pin(async move { drop(timeout(FIRST_TRY_MAX, tried).await) }),
        });
    }

    fn ask_at_once(&mut self) {
        self.backoff.reset();
        self.poll_at = Instant::now();
    }

    fn ask_later(&mut self) {
        self.poll_at = Instant::now() + self.backoff.pause();
    }

    fn journal_failed(&mut self, failure: &JournalError) {
        if !std::mem::replace(&mut self.journal_failing, true) {
            error!(
                error = error_chain(failure),
                "the journal cannot be written and nothing is started without it; free or remount the state directory"
            );
        }
        self.ask_later();
    }

    /// A bug in the worker fails the action, not the worker.
    async fn action_panicked(&mut self, id: EntryId, panic: &JoinError) -> Option<Outcome> {
        let entry = self.journal.entry(id)?;
        error!(workflow = %entry.assignment.workflow, action = %entry.assignment.name, %panic, "the action's task panicked");
        let grace = self.settings.executor.stop_grace;
        if let Some(record) = entry.container.clone() {
            let (executor, stopped) = (self.executor.clone(), entry.clone());
            self.chores.spawn(async move {
                if let Err(error) = executor.runtime.stop(&record, grace).await {
                    warn!(container = record.container, error = %error, "the container could not be stopped");
                }
                executor.clear_up(&stopped).await;
            });
        }
        if let Some(report) = entry.result.clone() {
            return Some(Outcome::Finished(Box::new(report), None));
        }
        let report = Report {
            state: ActionState::Failed,
            started_at: entry.attempt.as_ref().map(|attempt| attempt.began_at),
            stopped_at: Some(self.settings.clock.now()),
            ..Report::running(
                &entry.assignment,
                "internal error of tink-worker: the action's task panicked; see its log",
            )
        };
        Some(Outcome::Finished(self.executor.record(&entry, report).await, None))
    }

    async fn reporter_ended(&mut self, end: &Result<(), JoinError>) {
        error!(?end, "the reporter stopped; it is started again with what the journal holds");
        self.executor.reporter =
            spawn_reporter(&mut self.reporter, &self.transport, &self.journal, &self.settings, &self.hurry);
        for entry in self.journal.entries() {
            if entry.phase() == Phase::Finished
                && let Some(report) = &entry.result
            {
                self.report(entry.id, &entry.assignment, report).await;
            }
        }
    }

    /// Lets go of everything in bounded time. The container goes on; its entry says how to find it.
    async fn wind_up(mut self, ended: Ended, stop: &CancellationToken) {
        self.poll.abort_all();
        self.action.abort_all();
        if let Some(entry) = self.current.and_then(|id| self.journal.entry(id)) {
            let next = match entry.phase() {
                Phase::Assigned => "the action was not started yet; the server will offer it again",
                _ => "the action goes on in its container and will be taken up at the next start",
            };
            info!(workflow = %entry.assignment.workflow, action = %entry.assignment.name, "{next}");
        }
        let give_up = Instant::now() + self.settings.stop_timeout;
        let waiting = async { while self.tried.next().await.is_some() {} };
        if timeout_at(give_up, waiting).await.is_err() {
            info!("a result is not reported yet; it is kept for the next start");
        }
        let chores = async {
            while self.chores.join_next().await.is_some() {}
            while self.leftovers.tries.join_next().await.is_some() {}
        };
        let patience = async {
            match ended {
                Ended::Stopped => sleep_until(give_up).await,
                // Nobody waits, and nobody may start a worker here again.
                Ended::Finished => drop(timeout(LAST_CHORES_MAX, stop.cancelled()).await),
            }
        };
        tokio::select! {
            biased;
            () = chores => {}
            () = patience => info!("a container is not removed yet; that is done after the next start"),
        }
        info!(?ended, "worker ends");
    }
}

fn spawn_reporter(
    tasks: &mut JoinSet<()>,
    transport: &Arc<dyn Transport>,
    journal: &Journal,
    settings: &Settings,
    hurry: &Arc<Notify>,
) -> ReporterHandle {
    let (reporter, handle) =
        Reporter::new(Arc::clone(transport), journal.clone(), settings.events.clone(), settings.backoff_max);
    tasks.spawn(reporter.telling(Arc::clone(hurry)).run());
    handle
}

fn poll_panicked(panic: &JoinError) -> TransportError {
    TransportError::Unreachable { server: "the server".to_owned(), reason: format!("internal error: {panic}") }
}

#[cfg(test)]
mod tests;
