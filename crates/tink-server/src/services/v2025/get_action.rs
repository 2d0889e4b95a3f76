//! GetAction: answered at once when there is work, else held until there is.

use std::time::Duration;

use tink_proto::v2025::{ActionRequest, ActionResponse, NO_ACTION_AVAILABLE, Namespaces};
use tink_workflow::{Action, Task, WorkerId, WorkflowId};
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Agents, attributes, failure, invalid_id};
use crate::engine::{Look, Offer, Offered};
use crate::services::caller_of;
use crate::store::WorkerSeen;

/// How long the call of a second process of a worker is held: it is to learn soon that it is the second one, and to get the
/// action soon when the first one is gone.
const HOLD_BESIDE_MAX: Duration = Duration::from_secs(5);

/// Bytes of attributes that are kept; upstream keeps 64 KiB.
const ATTRIBUTES_BYTES_MAX: usize = 64 * 1024;

pub async fn serve(agents: &Agents, request: Request<ActionRequest>) -> Result<ActionResponse, Status> {
    let caller = caller_of(&request);
    let request = request.into_inner();
    let worker = WorkerId::parse(request.agent_id.unwrap_or_default()).map_err(invalid_id)?;
    let attributes_json = request.agent_attributes.map(|sent| attributes::to_json(&sent).to_string());
    let engine = &agents.engine;
    let seen = |attributes_json: Option<String>| WorkerSeen {
        id: worker.clone(),
        at: engine.now(),
        address: caller.address().to_owned(),
        attributes_json: attributes_json.filter(|json| json.len() <= ATTRIBUTES_BYTES_MAX),
    };
    engine.presence.note(seen(attributes_json));
    engine.leases.note(&worker, &caller, engine.now());

    // Registered before the first look, so that no wake between look and wait is lost.
    let waiter = engine.waiters.register(&worker).ok_or_else(|| {
        Status::resource_exhausted(format!("too many calls are held for worker {worker}, or in all; ask again later"))
    })?;
    let begun = Instant::now();
    let mut look = Look::AtArrival;
    loop {
        let wake = waiter.next_wake();
        let offered = engine.offer(&worker, &caller, std::mem::replace(&mut look, Look::WhileHeld)).await;
        let (hold, beside) = match offered.map_err(|error| failure("GetAction", &error))? {
            Offered::Action(offer) => {
                tink_failpoint::hit("server.offer.answer");
                engine.presence.note(seen(None));
                return Ok(answer(&offer));
            }
            Offered::Nothing => (agents.hold, None),
            Offered::Held { holder, address } => (
                agents.hold.min(HOLD_BESIDE_MAX),
                Some(format!("{holder} at {}", crate::or(&address, "an unknown address"))),
            ),
        };
        // In the order of their weight, and the same every time: simulation repeats it.
        tokio::select! {
            biased;
            () = agents.stopping.cancelled() => return Err(no_action(&worker, "the server is stopping; ask again")),
            () = wake => {}
            () = sleep_until(begun + hold) => {
                engine.presence.note(seen(None));
                engine.leases.note(&worker, &caller, engine.now());
                return Err(match beside {
                    None => no_action(&worker, "no action for this worker now"),
                    Some(holder) => held_by(&worker, &holder),
                });
            }
        }
    }
}

/// Says that another process of this worker has an action, in the metadata `tink-held-by` for those who look.
fn held_by(worker: &WorkerId, holder: &str) -> Status {
    let why = format!("another process calls itself worker {worker} and has an action: {holder}");
    let mut status = no_action(worker, &why);
    if let Ok(holder) = holder.parse() {
        status.metadata_mut().insert("tink-held-by", holder);
    }
    status
}

/// The status that makes an agent ask again without a word.
fn no_action(worker: &WorkerId, why: &str) -> Status {
    let details = ErrorDetails::with_precondition_failure_violation(NO_ACTION_AVAILABLE, worker.as_str(), why);
    Status::with_error_details(Code::FailedPrecondition, why, details)
}

fn answer(offer: &Offer) -> ActionResponse {
    let workflow = &offer.stored.workflow;
    let task = &workflow.tasks[offer.task];
    to_wire(&workflow.id, task, &task.actions[offer.action])
}

/// As upstream answers: every scalar is present, also when empty; `namespaces` only if the template has it, with both its
/// fields; a `namespaces.pid` is copied into the older `pid`.
fn to_wire(workflow: &WorkflowId, task: &Task, action: &Action) -> ActionResponse {
    let namespaces = action
        .spec
        .namespaces
        .as_ref()
        .map(|namespaces| Namespaces { network: Some(namespaces.network.clone()), pid: Some(namespaces.pid.clone()) });
    ActionResponse {
        workflow_id: Some(workflow.to_string()),
        task_id: Some(task.id.to_string()),
        agent_id: Some(task.worker.to_string()),
        action_id: Some(action.id.to_string()),
        name: Some(action.spec.name.clone()),
        image: Some(action.spec.image.clone()),
        timeout: Some(i64::try_from(action.spec.timeout_s).unwrap_or(i64::MAX)),
        command: action.spec.command.clone(),
        volumes: task.volumes_of(action),
        environment: task.environment_of(action),
        pid: Some(action.pid().to_owned()),
        namespaces,
        ends_machine: action.spec.ends_machine.then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    fn workflow() -> tink_workflow::Workflow {
        let mut ids = 0;
        let spec = serde_json::from_value(serde_json::json!({
            "name": "w",
            "tasks": [{
                "name": "t", "worker": "m", "volumes": ["/dev:/dev"], "environment": {"B": "task", "A": "task"},
                "actions": [
                    {"name": "plain", "image": "i"},
                    {"name": "full", "image": "i", "timeout_s": 7, "command": ["c"], "volumes": ["/a:/a"], "pid": "old",
                     "environment": {"B": "own"}, "namespaces": {"network": "", "pid": "host"}},
                ],
            }],
        }));
        let id = WorkflowId::parse("default/w").unwrap();
        tink_workflow::Workflow::from_spec(id, &spec.unwrap(), jiff::Timestamp::UNIX_EPOCH, || {
            ids += 1;
            ids.to_string()
        })
        .unwrap()
    }

    #[test]
    fn every_scalar_is_present_and_namespaces_only_when_given() {
        let workflow = workflow();
        let task = &workflow.tasks[0];
        let plain = to_wire(&workflow.id, task, &task.actions[0]);
        assert_eq!((plain.pid.as_deref(), plain.timeout, plain.namespaces), (Some(""), Some(0), None));
        assert_eq!(plain.environment, ["A=task", "B=task"]);
        let full = to_wire(&workflow.id, task, &task.actions[1]);
        assert_eq!(full.environment, ["A=task", "B=own"]);
        assert_eq!(full.volumes, ["/dev:/dev", "/a:/a"]);
        assert_eq!(full.pid.as_deref(), Some("host"));
        assert_eq!(full.namespaces, Some(Namespaces { network: Some(String::new()), pid: Some("host".into()) }));
        assert_eq!((full.workflow_id.as_deref(), full.timeout), (Some("default/w"), Some(7)));
    }

    #[test]
    fn the_idle_status_carries_the_detail_agents_look_for() {
        let status = no_action(&WorkerId::parse("m").unwrap(), "none");
        let detail = status.get_details_precondition_failure().unwrap();
        assert_eq!(
            (status.code(), detail.violations[0].r#type.as_str()),
            (Code::FailedPrecondition, NO_ACTION_AVAILABLE)
        );
    }
}
