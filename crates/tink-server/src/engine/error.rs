//! Why the engine did not do something.

use tink_workflow::{Refusal, WorkflowId};

use crate::store::StoreError;

/// A failure of the engine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such workflow.
    #[error("there is no workflow {0}")]
    NoWorkflow(WorkflowId),
    /// There is one already.
    #[error("workflow {0} exists already; delete it first, or choose another name")]
    Exists(WorkflowId),
    /// The event contradicts the workflow.
    #[error(transparent)]
    Refused(Refusal),
    /// Too many changes of one workflow at once.
    #[error("workflow {0} is changed by too many callers at once; try again")]
    Contended(WorkflowId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
