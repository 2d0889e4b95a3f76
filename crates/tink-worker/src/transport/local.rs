//! No server: the state machine in this process gives out the actions of workflows that are at hand.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tink_workflow::{Event, Next as Turn, WorkerId, Workflow, next_action, step};

use super::{Ack, Next, Transport, TransportError};
use crate::assignment::Begun;
use crate::{Assignment, Clock, Report};

/// Plays the engine for some workflows: every task runs here, whatever worker it is for. When all workflows ended,
/// the transport is finished and [`Worker::run`](crate::Worker::run) returns.
#[derive(Clone)]
pub struct Local {
    shared: Arc<Shared>,
}

struct Shared {
    workflows: Mutex<Vec<Workflow>>,
    clock: Arc<dyn Clock>,
}

impl Local {
    /// A transport over these workflows, which run one after another.
    #[must_use]
    pub fn new(workflows: Vec<Workflow>, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { workflows: Mutex::new(workflows), clock }) }
    }

    /// The workflows as they are now.
    #[must_use]
    pub fn workflows(&self) -> Vec<Workflow> {
        self.lock().clone()
    }

    /// Cancels every workflow that has not ended; an action that runs ends as it will.
    pub fn cancel(&self, reason: &str) {
        self.apply_all(&Event::Cancelled { reason: reason.to_owned() });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Workflow>> {
        // A workflow is replaced whole, so a panic elsewhere cannot leave one half changed.
        self.shared.workflows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_all(&self, event: &Event) {
        let now = self.shared.clock.now();
        for workflow in self.lock().iter_mut() {
            // A refusal means that the event is not for this workflow or comes too late.
            if let Ok((next, _effects)) = step(workflow, event, now) {
                *workflow = next;
            }
        }
    }

    fn turn(&self) -> Next {
        self.apply_all(&Event::Tick);
        let now = self.shared.clock.now();
        for workflow in self.lock().iter_mut() {
            if workflow.state.is_terminal() {
                continue;
            }
            let workers: Vec<WorkerId> = workflow.tasks.iter().map(|task| task.worker.clone()).collect();
            for worker in workers {
                if let Ok((next, _effects)) = step(workflow, &Event::Returned { worker: worker.clone() }, now) {
                    *workflow = next;
                }
                let Turn::Action(task, action) = next_action(workflow, &worker) else { continue };
                let assignment = assignment(workflow, task, action);
                let offered = Event::Offered { worker, action: action.id.clone(), holder: String::new() };
                if let Ok((next, _effects)) = step(workflow, &offered, now) {
                    *workflow = next;
                }
                return Next::Action(Box::new(assignment));
            }
        }
        Next::Finished
    }
}

fn assignment(workflow: &Workflow, task: &tink_workflow::Task, action: &tink_workflow::Action) -> Assignment {
    let network = action.spec.namespaces.as_ref().map(|namespaces| namespaces.network.clone()).unwrap_or_default();
    Assignment {
        workflow: workflow.id.clone(),
        task: task.id.clone(),
        action: action.id.clone(),
        worker: task.worker.clone(),
        name: action.spec.name.clone(),
        image: action.spec.image.clone(),
        timeout_s: action.spec.timeout_s,
        command: action.spec.command.clone(),
        environment: task.environment_of(action),
        volumes: task.volumes_of(action),
        pid: action.pid().to_owned(),
        network,
        tty: false,
        on_timeout: action.spec.on_timeout.clone(),
        on_failure: action.spec.on_failure.clone(),
        ends_machine: action.spec.ends_machine,
        lease_s: 0,
        begun: Begun::Unknown,
    }
}

#[async_trait]
impl Transport for Local {
    async fn next(&self) -> Result<Next, TransportError> {
        Ok(self.turn())
    }

    async fn report(&self, report: &Report) -> Result<Ack, TransportError> {
        let now = self.shared.clock.now();
        let said = tink_workflow::Report {
            worker: report.worker.clone(),
            action: report.action.clone(),
            state: report.state,
            started_at: report.started_at,
            stopped_at: report.stopped_at,
            duration: report.duration.clone(),
            message: report.message.clone(),
        };
        let event = if report.leaving { Event::Leaving(said) } else { Event::Reported(said) };
        let mut workflows = self.lock();
        let Some(workflow) = workflows.iter_mut().find(|workflow| workflow.id == report.workflow) else {
            return Ok(Ack::Refused(format!("no workflow {}", report.workflow)));
        };
        Ok(match step(workflow, &event, now) {
            Ok((next, _effects)) => {
                *workflow = next;
                Ack::Accepted
            }
            Err(refusal) => Ack::Refused(refusal.to_string()),
        })
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("workflows", &self.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
