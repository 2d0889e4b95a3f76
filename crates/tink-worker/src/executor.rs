//! Runs one action: image, container, output, end, result; every step on disk before the next one.

mod container;
mod hooks;
mod leave;
mod message;
mod output;
mod pull;
mod take_up;

use std::sync::Arc;
use std::time::Duration;

use tink_mutation::Mutation;
use tink_runtime::{HandleRecord, Purpose, Runtime, RuntimeError};
use tink_workflow::{ActionState, ImageRef};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::events::{Events, WorkerEvent};
use crate::journal::{Attempt, Entry, EntryId, Journal, JournalError};
use crate::reporter::ReporterHandle;
use crate::transport::{Ack, TransportError};
use crate::{Assignment, Backoff, Clock, Redactor, Report, error_chain, human_duration};

/// How actions are run.
#[derive(Clone, Debug)]
pub struct ExecutorSettings {
    /// Between SIGTERM and SIGKILL of an action whose time is used up.
    pub stop_grace: Duration,
    /// Cap of the pauses between tries of a pull or of another call to the engine.
    pub backoff_max: Duration,
    /// Silence after which no more is waited for of the output that is still on its way when a container has ended.
    pub drain_timeout: Duration,
    /// For an `on-timeout` or `on-failure` command of an action without a limit of its own.
    pub hook_timeout: Duration,
    /// What must not be seen in messages and logs.
    pub redactor: Redactor,
    /// Whether what actions print goes to the worker's own log. The journal has it in any case.
    pub echo_output: bool,
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self {
            stop_grace: Duration::from_secs(5),
            backoff_max: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(10),
            hook_timeout: Duration::from_secs(3600),
            redactor: Redactor::default(),
            echo_output: true,
        }
    }
}

/// What running an action came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// There is a result, in the journal unless that was not possible. The containers of the entry, where it is given, are
    /// to be removed.
    Finished(Box<Report>, Option<Box<Entry>>),
    /// Nothing was started: the server did not take the RUNNING report. The server will offer the action again.
    NotStarted(TransportError),
    /// Nothing was started and nothing will be: the entry is closed.
    Refused,
    /// The container of an earlier life is gone; only the server can say what now.
    Gone,
    /// The journal cannot be written; nothing was started.
    Journal(JournalError),
}

/// Everything an action needs.
#[derive(Clone, Debug)]
pub(crate) struct Executor {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) journal: Journal,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Events,
    pub(crate) reporter: ReporterHandle,
    pub(crate) settings: ExecutorSettings,
}

/// How a run of an action ended, before it is put into a report.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) state: ActionState,
    pub(crate) message: String,
    pub(crate) stopped_at: Option<tink_workflow::Timestamp>,
}

/// How far a run got.
enum Begun {
    /// It ended.
    Ended(End),
    /// It was not started: the server does not want it any more.
    Refused(String),
}

impl End {
    fn failed(message: String) -> Self {
        Self { state: ActionState::Failed, message, stopped_at: None }
    }
}

/// One run of one action.
pub(crate) struct Run<'a> {
    executor: &'a Executor,
    id: EntryId,
    entry: Entry,
    assignment: Arc<Assignment>,
    attempt: Attempt,
    redactor: Redactor,
    deadline: Option<Instant>,
}

impl Executor {
    /// Runs an action that the server offers, from the RUNNING report to the result.
    pub(crate) async fn fresh(&self, entry: Entry) -> Outcome {
        let assignment = Arc::clone(&entry.assignment);
        let number = entry.next_attempt();
        let message =
            if number > 1 { format!("running action, attempt {number}") } else { "running action".to_owned() };
        match self.reporter.running(Report::running(&assignment, message)).await {
            _ if tink_mutation::is(Mutation::StartWithoutLeave) => {}
            Some(Ok(Ack::Accepted)) => tink_failpoint::hit("worker.running.acknowledged"),
            Some(Ok(Ack::Refused(reason))) => return self.refused(&entry, &reason).await,
            Some(Err(error)) => return Outcome::NotStarted(error),
            None => {
                let reason = "the reporter stopped".to_owned();
                return Outcome::NotStarted(TransportError::Unreachable { server: "the server".to_owned(), reason });
            }
        }
        let attempt = Attempt::begin(number, self.clock.as_ref());
        let mut run = Run::new(self, entry, attempt);
        let begun = run.begin().await;
        run.settle(begun).await
    }

    /// Closes the entry of an action that the server offered, but does not let start.
    async fn refused(&self, entry: &Entry, reason: &str) -> Outcome {
        let assignment = &entry.assignment;
        warn!(
            workflow = %assignment.workflow, action = %assignment.name, action_id = %assignment.action, reason,
            "the server offered an action and refused to hear that it runs; it is not started"
        );
        let note = format!("never started: the server refused the RUNNING report: {reason}");
        match self.journal.close(entry.id, note).await {
            Ok(()) => Outcome::Refused,
            Err(error) => Outcome::Journal(error),
        }
    }

    /// Makes a result durable and says so. Where the disk does not take it even after retries, it is reported all the
    /// same: a result that only the worker knows is worth more than none.
    pub(crate) async fn record(&self, entry: &Entry, report: Report) -> Box<Report> {
        let id = entry.id;
        let stored = match tink_mutation::is(Mutation::ForgetResult) {
            true => Ok(()),
            false => self.persist(id, || self.journal.result(id, report.clone())).await,
        };
        if let Err(failure) = stored {
            error!(
                workflow = %report.workflow, action = %report.action_name,
                error = error_chain(&failure), "the result cannot be stored and is reported from memory"
            );
        }
        info!(
            workflow = %report.workflow, task = %report.task, action = %report.action_name, action_id = %report.action,
            state = %report.state, duration = report.duration, result = report.message, "action ended"
        );
        self.events.emit(&WorkerEvent::Ended {
            assignment: Arc::clone(&entry.assignment),
            state: report.state,
            message: report.message.clone(),
            duration: report.duration.clone(),
        });
        Box::new(report)
    }

    /// Repeats a write that the disk refuses, after making room.
    async fn persist<F>(&self, id: EntryId, write: impl Fn() -> F) -> Result<(), JournalError>
    where
        F: Future<Output = Result<(), JournalError>>,
    {
        const TRIES: u32 = 6;
        let mut backoff = Backoff::new(Duration::from_secs(2));
        let mut tries = 0;
        loop {
            let failure = match write().await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            tries += 1;
            if tries >= TRIES {
                return Err(failure);
            }
            if tries == 1 {
                warn!(entry = %id, error = error_chain(&failure), "the journal cannot be written");
            }
            // A full disk is the usual cause, and closed entries are the only thing that may go.
            if let Err(error) = self.journal.prune_to(0, 0).await {
                warn!(error = error_chain(&error), "closed journal entries could not be removed");
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Removes the containers of an entry whose result is on disk; a failure costs memory, not correctness, and is
    /// made up for later.
    pub(crate) async fn clear_up(&self, entry: &Entry) {
        if let Err(error) = self.remove_all(entry).await {
            warn!(
                workflow = %entry.assignment.workflow, action = %entry.assignment.name, error = %error,
                "the action's container could not be removed; the worker tries again later"
            );
            return;
        }
        self.cleared(entry).await;
    }

    /// Tries again what [`Executor::clear_up`] could not do, and says no more of it.
    pub(crate) async fn clear_up_again(&self, entry: &Entry) {
        match self.remove_all(entry).await {
            Ok(()) => self.cleared(entry).await,
            Err(error) => debug!(entry = %entry.id, error = %error, "the action's container can still not be removed"),
        }
    }

    async fn cleared(&self, entry: &Entry) {
        tink_failpoint::hit("worker.container.removed");
        match self.journal.removed(entry.id).await {
            // Two may have removed it at the same time, and the first one's entry went with it.
            Ok(()) | Err(JournalError::NoEntry { .. }) => {}
            Err(error) => warn!(entry = %entry.id, error = error_chain(&error), "a removal could not be stored"),
        }
    }

    async fn remove_all(&self, entry: &Entry) -> Result<(), RuntimeError> {
        if entry.attempt.is_some() {
            self.remove(entry, Purpose::Action, entry.container.as_ref()).await?;
        }
        match &entry.hook {
            Some(hook) => self.remove(entry, hook.purpose, hook.record.as_ref()).await,
            None => Ok(()),
        }
    }

    /// A container without a record is asked for: its start may have happened without an answer.
    async fn remove(&self, entry: &Entry, purpose: Purpose, record: Option<&HandleRecord>) -> Result<(), RuntimeError> {
        match record {
            // Only the engine that has a container can remove it.
            Some(record) if record.runtime != self.runtime.name() => Ok(()),
            Some(record) => self.runtime.remove(record).await,
            None => match self.runtime.find(&entry.identity(entry.attempt_number(), purpose)).await? {
                Some(record) => self.runtime.remove(&record).await,
                None => Ok(()),
            },
        }
    }
}

impl<'a> Run<'a> {
    fn new(executor: &'a Executor, entry: Entry, attempt: Attempt) -> Self {
        let assignment = Arc::clone(&entry.assignment).unwrapped();
        // Across a reboot or an unknown boot nobody can say how much of the time was used up: all of it is granted.
        let elapsed = attempt.elapsed(executor.clock.as_ref()).unwrap_or_default();
        let limit = Duration::from_secs(assignment.timeout_s);
        let deadline =
            (assignment.timeout_s > 0).then(|| Instant::now().checked_add(limit.saturating_sub(elapsed))).flatten();
        let redactor = executor.settings.redactor.with_environment_of(&assignment);
        Self { executor, id: entry.id, entry, assignment, attempt, redactor, deadline }
    }

    /// Pulls, starts and waits.
    async fn begin(&mut self) -> Result<Begun, JournalError> {
        info!(
            workflow = %self.assignment.workflow, task = %self.assignment.task, action = %self.assignment.name,
            action_id = %self.assignment.action, attempt = self.attempt.number, image = self.assignment.image,
            timeout_s = self.assignment.timeout_s, "action begins"
        );
        let image = match self.pull().await {
            Ok(image) => image,
            Err(end) => return Ok(Begun::Ended(end)),
        };
        tink_failpoint::hit("worker.pulled");
        // A run that is taken up before its container was started is on disk already.
        if self.entry.attempt.as_ref() != Some(&self.attempt) {
            self.attempt.runtime = Some(self.executor.runtime.name().to_owned());
            self.executor.journal.attempt(self.id, self.attempt.clone()).await?;
            self.entry.attempt = Some(self.attempt.clone());
            self.entry.container = None;
        }
        if self.assignment.leaves() {
            return self.leave(image).await;
        }
        Ok(Begun::Ended(self.start_and_attend(image).await))
    }

    async fn start_and_attend(&mut self, image: ImageRef) -> End {
        match self.start(image).await {
            Ok(record) => self.attend(record).await,
            Err(end) => end,
        }
    }

    /// What a run came to.
    async fn settle(self, begun: Result<Begun, JournalError>) -> Outcome {
        match begun {
            Ok(Begun::Ended(end)) => self.finish(end).await,
            Ok(Begun::Refused(reason)) => self.executor.refused(&self.entry, &reason).await,
            Err(error) => Outcome::Journal(error),
        }
    }

    /// Puts the end into a report and stores it.
    async fn finish(self, end: End) -> Outcome {
        let executor = self.executor;
        let stopped_at = end.stopped_at.unwrap_or_else(|| executor.clock.now());
        let elapsed = match end.stopped_at.map(|at| at.duration_since(self.attempt.began_at)) {
            // Found ended after a restart: only the engine knows when.
            Some(by_wall_clock) => Duration::try_from(by_wall_clock).ok(),
            None => self.attempt.elapsed(executor.clock.as_ref()),
        };
        let report = Report {
            state: end.state,
            started_at: Some(self.attempt.began_at),
            stopped_at: Some(stopped_at),
            duration: human_duration(elapsed.unwrap_or_default()),
            ..Report::running(&self.assignment, self.redactor.mask(end.message))
        };
        let report = executor.record(&self.entry, report).await;
        let stored = executor.journal.entry(self.id).is_some_and(|entry| entry.result.is_some());
        if stored || tink_mutation::is(Mutation::ForgetResult) {
            return Outcome::Finished(report, Some(Box::new(self.entry)));
        }
        warn!(
            workflow = %report.workflow, action = %report.action_name,
            "the container stays until its result is stored or the worker starts again: it is the only witness"
        );
        Outcome::Finished(report, None)
    }

    fn retrying(&self, reason: &str) {
        self.executor.events.emit(&WorkerEvent::Retrying {
            assignment: Arc::clone(&self.assignment),
            reason: self.redactor.mask(reason.to_owned()),
        });
    }
}

/// Never, where there is no deadline.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
