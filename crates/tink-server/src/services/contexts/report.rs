//! ReportActionStatus by the names of task and action.

use std::time::Duration;

use tink_workflow::{ActionState, Refusal, WorkerId, WorkflowId};
use tonic::Status;

use super::{Contexts, State};
use crate::engine::{Caller, EngineError, Named, NamedReport, Reported};
use crate::services::failure;
use crate::store::WorkerSeen;

/// How long a report waits for another connection to be given up; longer than it takes to find out that it is broken.
const HELD_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it looks.
const HELD_LOOK_EVERY: Duration = Duration::from_secs(3);
/// Bytes of a worker's message that are kept.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// What a worker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The workflow, as the generation writes it.
    pub workflow: String,
    /// The task's name.
    pub task: String,
    /// The action's name.
    pub action: String,
    /// The state's number.
    pub state: i32,
    /// How long it took.
    pub seconds: i64,
    /// What happened.
    pub message: String,
    /// Who says it.
    pub worker: String,
}

/// What became of a report that is answered with OK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is stored, or said what was known.
    Taken,
    /// It changed nothing; why.
    Refused(String),
}

impl Contexts {
    /// Takes a report.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for what is no report. To RUNNING alone: INVALID_ARGUMENT when it is not the action's turn, NOT_FOUND
    /// when the workflow or the action is not there, FAILED_PRECONDITION when the workflow ended or the worker must ask for
    /// it again: the action must not run. UNAVAILABLE when the store failed.
    pub async fn report(&self, said: Said, caller: &Caller) -> Result<Answer, Status> {
        const CALL: &str = "ReportActionStatus";
        self.engine.metrics.reports.inc();
        let (workflow, report) = self.read(&said)?;
        if let Ok(id) = WorkerId::parse(said.worker) {
            let seen =
                WorkerSeen { id, at: self.engine.now(), address: caller.address().to_owned(), attributes_json: None };
            self.engine.presence.note(seen);
        }
        let asks_leave = report.state == ActionState::Running;
        let refused =
            |status: Status| if asks_leave { Err(status) } else { Ok(Answer::Refused(status.message().into())) };
        match self.heard(&workflow, report, caller).await {
            Ok(Named::Reported(Reported::Acknowledged)) => Ok(Answer::Taken),
            Ok(Named::NoSuchTask) => refused(Status::not_found(
                "reported task name does not match the current action details: the workflow has no such task",
            )),
            Ok(Named::NoSuchAction) => refused(Status::not_found(
                "reported action name does not match the current action details: the task has no such action",
            )),
            Ok(Named::NotGivenOut) => refused(Status::failed_precondition(format!(
                "workflow {workflow} was created anew and not yet given to this worker; ask for its context first"
            ))),
            Ok(Named::Reported(Reported::Held { holder })) => {
                refused(Status::failed_precondition(format!("another process of this worker has the action: {holder}")))
            }
            Ok(Named::Reported(Reported::Deleted)) | Err(EngineError::NoWorkflow(_)) => {
                refused(Status::not_found(format!("invalid workflow id: workflow {workflow} is not here")))
            }
            Ok(Named::Reported(Reported::Refused(refusal))) => refused(match &refusal {
                Refusal::OutOfOrder { .. } => Status::invalid_argument(format!(
                    "reported action name does not match the current action details: {refusal}"
                )),
                Refusal::UnknownAction { .. } => Status::not_found(refusal.to_string()),
                Refusal::Ended { .. } | Refusal::Contradiction { .. } | Refusal::NotAReport { .. } => {
                    Status::failed_precondition(refusal.to_string())
                }
            }),
            Err(error) => Err(failure(CALL, &error)),
        }
    }

    /// Waits while another connection has the action: most likely it is this worker's own, broken and not yet known to be.
    /// Workers of tink v0.2 to v0.8 end their process when they are refused three times.
    async fn heard(&self, workflow: &WorkflowId, report: NamedReport, caller: &Caller) -> Result<Named, EngineError> {
        let until = tokio::time::Instant::now() + HELD_WAIT_MAX;
        loop {
            let heard = self.engine.report_named(workflow, report.clone(), caller).await?;
            let held = matches!(heard, Named::Reported(Reported::Held { .. }));
            if !held || caller.names_instance() || tokio::time::Instant::now() >= until {
                return Ok(heard);
            }
            tokio::select! {
                () = tokio::time::sleep(HELD_LOOK_EVERY) => {}
                () = self.stopping.cancelled() => return Ok(heard),
            }
        }
    }

    fn read(&self, said: &Said) -> Result<(WorkflowId, NamedReport), Status> {
        let workflow = self.ids().parse(&said.workflow)?;
        for (name, what) in [(&said.task, "task"), (&said.action, "action")] {
            if name.is_empty() {
                return Err(Status::invalid_argument(format!("invalid {what} name: it is empty")));
            }
        }
        let state = match State::from_number(said.state) {
            Some(State::Running) => ActionState::Running,
            Some(State::Failed) => ActionState::Failed,
            Some(State::Timeout) => ActionState::Timeout,
            Some(State::Success) => ActionState::Success,
            Some(State::Pending) | None => {
                return Err(Status::invalid_argument(format!(
                    "the action_status is {}; 1 (RUNNING), 2 (FAILED), 3 (TIMEOUT) and 4 (SUCCESS) are reports",
                    said.state
                )));
            }
        };
        let report = NamedReport {
            task: said.task.clone(),
            action: said.action.clone(),
            state,
            seconds: u64::try_from(said.seconds).unwrap_or(0),
            message: crate::cut(&said.message, MESSAGE_BYTES_MAX).to_owned(),
        };
        Ok((workflow, report))
    }
}
