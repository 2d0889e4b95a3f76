//! Delivers reports: each until the server has it, in order per workflow.
//!
//! A result is repeated for as long as the server cannot be reached. Where the server *answers* with an error, other
//! workflows go on meanwhile, and the result is given up only when the server shows that it no longer knows the
//! action: it has answered [`GIVE_UP_AFTER`] reports of it with an error and [`GIVE_UP_AFTER`] requests for work without
//! offering it again, for [`GIVE_UP_TIME`]. (Upstream's server answers Internal, for ever, for a workflow that was deleted,
//! and NotFound for an action that is none any more; a server that still has the action as the current one offers it again
//! at every request, and one whose data is being restored soon does.)

mod lane;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tink_mutation::Mutation;
use tink_workflow::{ActionId, WorkflowId};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::events::{Events, WorkerEvent};
use crate::journal::{EntryId, Journal};
use crate::transport::{Ack, Transport, TransportError};
use crate::{Assignment, Report, error_chain};
use lane::{Item, Kind, Lane};

/// Errors and passed-over offers after which a result is given up.
pub(crate) const GIVE_UP_AFTER: u32 = 10;

/// How long a server may know nothing of an action before its result is given up.
pub(crate) const GIVE_UP_TIME: Duration = Duration::from_secs(180);

/// Commands that wait at most; the worker sends one at a time.
const COMMANDS_MAX: usize = 64;

#[derive(Debug)]
pub(crate) enum Command {
    /// Deliver a result that is in the journal.
    Result { entry: EntryId, assignment: Arc<Assignment>, report: Box<Report>, tried: oneshot::Sender<()> },
    /// Try once to say that an action is about to run, after everything else of its workflow.
    Running { report: Box<Report>, answer: oneshot::Sender<Result<Ack, TransportError>> },
    /// The server answered a request for work, with this action or with none.
    Offered(Option<(WorkflowId, ActionId)>),
}

/// The way to the reporter.
#[derive(Clone, Debug)]
pub(crate) struct ReporterHandle(mpsc::Sender<Command>);

impl ReporterHandle {
    /// Delivers a result. The returned future ends when it was tried once, and for an action that was to end the machine and
    /// did not, when the server has it or has answered often enough that it cannot; or earlier when the reporter is gone.
    pub(crate) async fn result(
        &self,
        entry: EntryId,
        assignment: &Arc<Assignment>,
        report: &Report,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (tried, done) = oneshot::channel();
        let (assignment, report) = (Arc::clone(assignment), Box::new(report.clone()));
        // A reporter that is gone is made anew with everything the journal has.
        let _ = self.0.send(Command::Result { entry, assignment, report, tried }).await;
        async {
            let _ = done.await;
        }
    }

    /// Says once that an action is about to run. `None` when the reporter is gone.
    pub(crate) async fn running(&self, report: Report) -> Option<Result<Ack, TransportError>> {
        let (answer, done) = oneshot::channel();
        self.0.send(Command::Running { report: Box::new(report), answer }).await.ok()?;
        done.await.ok()
    }

    /// Tells what the server offered.
    pub(crate) async fn offered(&self, action: Option<(WorkflowId, ActionId)>) {
        let _ = self.0.send(Command::Offered(action)).await;
    }
}

type Sending = Pin<Box<dyn Future<Output = (WorkflowId, Result<Ack, TransportError>)> + Send>>;

/// Owns what is not yet delivered.
pub(crate) struct Reporter {
    transport: Arc<dyn Transport>,
    journal: Journal,
    events: Events,
    backoff_max: Duration,
    commands: mpsc::Receiver<Command>,
    lanes: BTreeMap<WorkflowId, Lane>,
    sending: FuturesUnordered<Sending>,
    /// Told when a server that was away takes a result.
    back: Arc<Notify>,
}

impl Reporter {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        journal: Journal,
        events: Events,
        backoff_max: Duration,
    ) -> (Self, ReporterHandle) {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let reporter = Self {
            transport,
            journal,
            events,
            backoff_max,
            commands,
            lanes: BTreeMap::new(),
            sending: FuturesUnordered::new(),
            back: Arc::new(Notify::new()),
        };
        (reporter, ReporterHandle(sender))
    }

    /// Whom to tell when a server that was away takes a result: there may be work, too.
    pub(crate) fn telling(self, back: Arc<Notify>) -> Self {
        Self { back, ..self }
    }

    /// Runs until every handle is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            self.send_what_is_due();
            let wake = self.lanes.values().filter_map(Lane::due).min();
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.take(command),
                    None => return,
                },
                Some((workflow, answer)) = self.sending.next(), if !self.sending.is_empty() => {
                    self.answered(&workflow, answer).await;
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Result { entry, assignment, report, tried } => {
                if tink_mutation::is(Mutation::CloseBeforeAcknowledged) {
                    // The journal of a simulation writes at once.
                    let closed = futures_util::FutureExt::now_or_never(self.journal.close(entry, String::new()));
                    drop(closed);
                }
                self.lane(&report.workflow).push_result(entry, assignment, *report, tried);
            }
            Command::Running { report, answer } => {
                self.lane(&report.workflow).push(Item { report: *report, kind: Kind::Running { answer } });
            }
            Command::Offered(action) => {
                for lane in self.lanes.values_mut() {
                    lane.offered(action.as_ref());
                }
            }
        }
    }

    fn lane(&mut self, workflow: &WorkflowId) -> &mut Lane {
        let backoff_max = self.backoff_max;
        self.lanes.entry(workflow.clone()).or_insert_with(|| Lane::new(backoff_max))
    }

    fn send_what_is_due(&mut self) {
        let now = Instant::now();
        for (workflow, lane) in &mut self.lanes {
            let Some(report) = lane.take_due(now) else { continue };
            let (transport, workflow) = (Arc::clone(&self.transport), workflow.clone());
            self.sending.push(Box::pin(async move {
                tink_failpoint::hit("worker.report.before");
                let answer = transport.report(&report).await;
                tink_failpoint::hit("worker.report.answered");
                (workflow, answer)
            }));
        }
    }

    async fn answered(&mut self, workflow: &WorkflowId, answer: Result<Ack, TransportError>) {
        let Some(lane) = self.lanes.get_mut(workflow) else { return };
        let Some(item) = lane.sent() else { return };
        let answer = match answer {
            Err(_) if tink_mutation::is(Mutation::DropReportOnError) && item.report.state.is_terminal() => {
                Ok(Ack::Accepted)
            }
            answer => answer,
        };
        match (item.kind, answer) {
            (Kind::Running { answer: to }, answer) => {
                // Whoever asked may have been stopped meanwhile.
                let _ = to.send(answer);
            }
            (Kind::Result { entry, assignment, tried, errors, .. }, Ok(ack)) => {
                self.close(entry, &assignment, &item.report, &ack).await;
                if errors > 0 {
                    self.back.notify_one();
                }
                if let Some(tried) = tried {
                    let _ = tried.send(());
                }
            }
            (Kind::Result { entry, assignment, mut tried, mut errors, mut since, passed }, Err(error)) => {
                if errors == 0 && passed == 0 {
                    warn!(
                        workflow = %item.report.workflow, action = %item.report.action_name,
                        action_id = %item.report.action, state = %item.report.state, error = %error,
                        "the result could not be reported; it is kept and repeated"
                    );
                }
                errors = if error.is_answer() { errors.saturating_add(1) } else { errors.max(1) };
                if !assignment.has_stayed(item.report.state) || errors >= GIVE_UP_AFTER {
                    tried.take().map(|tried| tried.send(()));
                }
                let superseded = lane.has_later_action(&item.report.action) && error.is_answer();
                let for_long = since.get_or_insert_with(Instant::now).elapsed() >= GIVE_UP_TIME;
                if superseded || (errors >= GIVE_UP_AFTER && passed >= GIVE_UP_AFTER && for_long) {
                    let why = if superseded { "went on to a later action" } else { "no longer offers the action" };
                    let ack = Ack::Refused(format!("{error}; the server {why}"));
                    self.close(entry, &assignment, &item.report, &ack).await;
                } else {
                    let kind = Kind::Result { entry, assignment, tried, errors, since, passed };
                    lane.again(Item { report: item.report, kind });
                }
            }
        }
        if self.lanes.get(workflow).is_some_and(Lane::is_empty) {
            self.lanes.remove(workflow);
        }
    }

    async fn close(&mut self, entry: EntryId, assignment: &Arc<Assignment>, report: &Report, ack: &Ack) {
        let note = match ack {
            Ack::Accepted => "accepted".to_owned(),
            Ack::Refused(reason) => format!("refused: {reason}"),
        };
        match ack {
            Ack::Accepted => info!(
                workflow = %report.workflow, action = %report.action_name, action_id = %report.action,
                state = %report.state, "the server has the result"
            ),
            Ack::Refused(reason) => warn!(
                workflow = %report.workflow, action = %report.action_name, action_id = %report.action,
                state = %report.state, reason, "the server does not take the result; the entry is closed"
            ),
        }
        let mut closed = self.journal.close(entry, note.clone()).await;
        if closed.is_err() {
            closed = self.journal.close(entry, note).await;
        }
        if let Err(error) = closed {
            // The report is repeated after the next start, which changes nothing on the server.
            warn!(entry = %entry, error = error_chain(&error), "the acknowledgement could not be stored");
        }
        let accepted = *ack == Ack::Accepted;
        self.events.emit(&WorkerEvent::Reported { assignment: Arc::clone(assignment), state: report.state, accepted });
    }
}

#[cfg(test)]
mod tests;
