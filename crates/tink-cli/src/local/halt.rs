//! Stops what runs when a person interrupts.

use std::time::Duration;

use tink_proto::admin::Workflow;
use tink_runtime::{Identity, Purpose, Runtime};
use tink_workflow::{ActionId, WorkerId, WorkflowId};

use crate::commands::workflow::actions;

const GRACE: Duration = Duration::from_secs(5);

/// Stops and removes the container of every action that is not over. What fails is said and the rest goes on.
pub async fn halt(runtime: &dyn Runtime, workflow: &Workflow) {
    for (task, action) in actions(workflow).filter(|(_, action)| matches!(action.state.as_str(), "PENDING" | "RUNNING"))
    {
        let key = workflow.key.clone().unwrap_or_default();
        let identity = || {
            Some(Identity {
                workflow: WorkflowId::new(&key.namespace, &key.name).ok()?,
                action: ActionId::parse(action.id.clone()).ok()?,
                action_name: action.name.clone(),
                worker: WorkerId::parse(task.worker_id.clone()).ok()?,
                attempt: 1,
                purpose: Purpose::Action,
            })
        };
        let Some(identity) = identity() else { continue };
        let stopped = async {
            if let Some(record) = runtime.find(&identity).await? {
                runtime.stop(&record, GRACE).await?;
                runtime.remove(&record).await?;
            }
            Ok::<_, tink_runtime::RuntimeError>(())
        };
        if let Err(error) = stopped.await {
            eprintln!("tink: {error}");
        }
    }
}
