//! ReportActionStatus: translated, applied, acknowledged once it is on disk.

use tink_proto::v2025::action_status_request::StateType;
use tink_proto::v2025::{ActionStatusRequest, ActionStatusResponse};
use tink_workflow::{ActionId, ActionState, Refusal, Report, TaskId, WorkerId, WorkflowId};
use tonic::{Request, Response, Status};

use super::{Agents, failure, invalid_id};
use crate::engine::{EngineError, Reported};
use crate::services::{caller_of, note_refused, timestamp};
use crate::store::WorkerSeen;

/// Bytes of a worker's message that are kept.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a duration; `humanDuration` never needs more than a few.
const DURATION_BYTES_MAX: usize = 64;

pub async fn serve(
    agents: &Agents,
    request: Request<ActionStatusRequest>,
) -> Result<Response<ActionStatusResponse>, Status> {
    let caller = caller_of(&request);
    let request = request.into_inner();
    let leaves = request.leaving() && request.action_state() == StateType::Success;
    let (workflow, report) = from_wire(request)?;
    let engine = &agents.engine;
    let seen = WorkerSeen {
        id: report.worker.clone(),
        at: engine.now(),
        address: caller.address().to_owned(),
        attributes_json: None,
    };
    engine.leases.note(&seen.id, &caller, seen.at);
    engine.presence.note(seen);
    tink_failpoint::hit("server.report.before");
    let asks_leave = leaves || report.state == ActionState::Running;
    let heard = if leaves {
        engine.leaving(&workflow, report, &caller).await
    } else {
        engine.report(&workflow, report, &caller).await
    };
    let reported = match heard {
        // After its data was lost or restored from a backup, a server does not know what its workers still run.
        Err(error @ EngineError::NoWorkflow(_)) if !asks_leave => {
            return Ok(refused(&format!("{error}; the result is not kept")));
        }
        reported => reported.map_err(|error| failure("ReportActionStatus", &error))?,
    };
    tink_failpoint::hit("server.report.answer");
    match reported {
        Reported::Acknowledged => Ok(Response::new(ActionStatusResponse {})),
        Reported::Held { holder } => {
            Err(Status::failed_precondition(format!("another process of this worker has the action: {holder}")))
        }
        Reported::Deleted if asks_leave => Err(Status::not_found(format!("workflow {workflow} was deleted"))),
        Reported::Deleted => Ok(refused(&format!("workflow {workflow} was deleted; the result is not kept"))),
        Reported::Refused(refusal) => match &refusal {
            Refusal::UnknownAction { .. } if asks_leave => Err(Status::not_found(refusal.to_string())),
            Refusal::UnknownAction { .. } => Ok(refused(&refusal.to_string())),
            Refusal::NotAReport { .. } => Err(Status::invalid_argument(refusal.to_string())),
            Refusal::Contradiction { .. } | Refusal::OutOfOrder { .. } | Refusal::Ended { .. } => {
                if asks_leave {
                    Err(Status::failed_precondition(refusal.to_string()))
                } else {
                    Ok(refused(&refusal.to_string()))
                }
            }
        },
    }
}

/// Acknowledged, though nothing changed.
fn refused(why: &str) -> Response<ActionStatusResponse> {
    let mut response = Response::new(ActionStatusResponse {});
    note_refused(response.metadata_mut(), why);
    response
}

fn from_wire(request: ActionStatusRequest) -> Result<(WorkflowId, Report), Status> {
    let workflow = WorkflowId::parse(request.workflow_id.unwrap_or_default()).map_err(invalid_id)?;
    let worker = WorkerId::parse(request.agent_id.unwrap_or_default()).map_err(invalid_id)?;
    // Demanded, as upstream does, and not used: the action's id alone is unique.
    TaskId::parse(request.task_id.unwrap_or_default()).map_err(invalid_id)?;
    let action = ActionId::parse(request.action_id.unwrap_or_default()).map_err(invalid_id)?;
    let state = match request.action_state.map(StateType::try_from) {
        Some(Ok(StateType::Running)) => ActionState::Running,
        Some(Ok(StateType::Success)) => ActionState::Success,
        Some(Ok(StateType::Failed)) => ActionState::Failed,
        Some(Ok(StateType::Timeout)) => ActionState::Timeout,
        Some(Ok(StateType::Unspecified | StateType::Pending) | Err(_)) | None => {
            let found = request.action_state.map_or_else(|| "nothing".to_owned(), |number| number.to_string());
            return Err(Status::invalid_argument(format!(
                "the action_state is {found}; 2 (RUNNING), 3 (FAILED), 4 (TIMEOUT) and 5 (SUCCESS) are reports"
            )));
        }
    };
    let message = request.message.and_then(|message| message.message).unwrap_or_default();
    let report = Report {
        worker,
        action,
        state,
        started_at: timestamp::from_wire(request.execution_start.as_ref()),
        stopped_at: timestamp::from_wire(request.execution_stop.as_ref()),
        duration: crate::cut(request.execution_duration.as_deref().unwrap_or_default(), DURATION_BYTES_MAX).to_owned(),
        message: crate::cut(&message, MESSAGE_BYTES_MAX).to_owned(),
    };
    Ok((workflow, report))
}

#[cfg(test)]
mod tests {
    use tink_proto::v2025::ActionMessage;
    use tonic::Code;

    use super::*;

    fn request() -> ActionStatusRequest {
        ActionStatusRequest {
            workflow_id: Some("default/w".into()),
            agent_id: Some("m".into()),
            task_id: Some("t".into()),
            action_id: Some("a".into()),
            action_state: Some(StateType::Success.into()),
            ..Default::default()
        }
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let message = ActionMessage { message: Some("é".repeat(MESSAGE_BYTES_MAX)) };
        let (_, report) = from_wire(ActionStatusRequest { message: Some(message), ..request() }).unwrap();
        assert_eq!(report.message.len(), MESSAGE_BYTES_MAX);
        assert!(report.message.chars().all(|c| c == 'é'));
    }

    #[test]
    fn each_missing_id_is_named() {
        let missing = [
            (ActionStatusRequest { workflow_id: None, ..request() }, "workflow id"),
            (ActionStatusRequest { agent_id: None, ..request() }, "worker id"),
            (ActionStatusRequest { task_id: Some(String::new()), ..request() }, "task id"),
            (ActionStatusRequest { action_id: None, ..request() }, "action id"),
            (ActionStatusRequest { action_state: None, ..request() }, "action_state"),
            (ActionStatusRequest { action_state: Some(1), ..request() }, "action_state"),
            (ActionStatusRequest { action_state: Some(99), ..request() }, "99"),
        ];
        for (request, name) in missing {
            let status = from_wire(request).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains(name), "{status:?}");
        }
    }
}
