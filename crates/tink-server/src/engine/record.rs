//! What is told of a change: events for administrators, lines for the log. Never an action's environment.

use tink_workflow::{Action, Effect, Event, Task, Timestamp, Workflow};

use crate::store::WorkflowEvent;

/// Bytes of a worker's message that an event repeats; the whole is kept with the action.
const EVENT_MESSAGE_BYTES_MAX: usize = 1024;

/// The events to store with a change.
pub fn events(workflow: &Workflow, event: &Event, effects: &[Effect], now: Timestamp) -> Vec<WorkflowEvent> {
    let blank = |kind, message, state| WorkflowEvent {
        at: now,
        workflow: workflow.id.clone(),
        kind,
        message,
        worker: None,
        action: None,
        state,
    };
    let mut all = Vec::new();
    if let Event::Offered { worker, action, holder } = event
        && let Some((task, action)) = workflow.action(action)
    {
        let by = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
        let message = format!("{} given to its worker{by}", place(task, action));
        let worker = Some(worker.clone());
        all.push(WorkflowEvent {
            worker,
            action: Some(action.id.clone()),
            ..blank("offered", message, action.state.as_str())
        });
    }
    for effect in effects {
        match effect {
            Effect::ActionChanged { action, to, .. } => {
                let Some((task, action)) = workflow.action(action) else { continue };
                let said = crate::cut(&action.message, EVENT_MESSAGE_BYTES_MAX);
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                all.push(WorkflowEvent {
                    worker: Some(task.worker.clone()),
                    action: Some(action.id.clone()),
                    ..blank("action", format!("{} {to}{said}", place(task, action)), to.as_str())
                });
            }
            Effect::ActionLeaves { action, until } => {
                let Some((task, action)) = workflow.action(action) else { continue };
                let message = format!(
                    "{} ends the machine now; it is a success at {until} unless reported otherwise",
                    place(task, action)
                );
                all.push(WorkflowEvent {
                    worker: Some(task.worker.clone()),
                    action: Some(action.id.clone()),
                    ..blank("action", message, action.state.as_str())
                });
            }
            Effect::WorkflowChanged { to, .. } => {
                let kind = if matches!(event, Event::Cancelled { .. }) { "cancelled" } else { "workflow" };
                let message = match workflow.message.as_str() {
                    "" => format!("workflow {to}"),
                    why => format!("workflow {to}: {why}"),
                };
                all.push(blank(kind, message, to.as_str()));
            }
            Effect::Wake(_) => {}
        }
    }
    all
}

/// One line a state change.
pub fn log(workflow: &Workflow, event: &Event, effects: &[Effect]) {
    if let Event::Offered { worker, action, holder } = event
        && let Some((task, action)) = workflow.action(action)
    {
        let (task, name) = (&task.name, &action.spec.name);
        tracing::info!(workflow = %workflow.id, task, action = name, action_id = %action.id, %worker, holder, "action given out");
    }
    for effect in effects {
        match effect {
            Effect::ActionChanged { action, from, to } => {
                let Some((task, action)) = workflow.action(action) else { continue };
                let (task_name, name, worker) = (&task.name, &action.spec.name, &task.worker);
                tracing::info!(
                    workflow = %workflow.id, task = task_name, action = name, action_id = %action.id, %worker,
                    %from, state = %to, duration = action.duration, "action changed"
                );
            }
            Effect::ActionLeaves { action, until } => {
                let Some((task, action)) = workflow.action(action) else { continue };
                let (task_name, name, worker) = (&task.name, &action.spec.name, &task.worker);
                tracing::info!(
                    workflow = %workflow.id, task = task_name, action = name, action_id = %action.id, %worker, %until,
                    "action ends its machine; it is a success unless reported otherwise"
                );
            }
            Effect::WorkflowChanged { from, to } => {
                tracing::info!(workflow = %workflow.id, %from, state = %to, message = workflow.message, "workflow changed");
            }
            Effect::Wake(_) => {}
        }
    }
}

/// `3 actions in 2 tasks`.
pub fn describe(workflow: &Workflow) -> String {
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!("{} in {}", plural(workflow.actions().count(), "action"), plural(workflow.tasks.len(), "task"))
}

fn place(task: &Task, action: &Action) -> String {
    format!("action {:?} of task {:?}", action.spec.name, task.name)
}
