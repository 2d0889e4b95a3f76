//! Ids for wires that have none, or other ones than ours.

use sha2::{Digest, Sha256};
use tink_workflow::{ActionId, IdError, WorkflowId};

/// Namespace of a workflow whose id has none on the wire. No Kubernetes namespace can be called so.
const NO_NAMESPACE: &str = "-/";

/// What every derived action id begins with.
const DERIVED: &str = "wf-";

/// Between a derived id and the number of the workflow's incarnation.
const INCARNATION: char = '~';

/// A workflow's id, as it stands everywhere but on the wire.
pub(super) fn workflow(wire: &str) -> Result<WorkflowId, IdError> {
    WorkflowId::parse(wire).or_else(|_| WorkflowId::parse(format!("{NO_NAMESPACE}{wire}")))
}

/// A workflow's id, as the wire has it.
pub(super) fn wire(workflow: &WorkflowId) -> &str {
    workflow.as_str().strip_prefix(NO_NAMESPACE).unwrap_or(workflow.as_str())
}

/// The same id for the same action every time, another one for any other action.
pub(super) fn action(workflow: &str, index: usize, task: &str, name: &str) -> Result<ActionId, IdError> {
    let mut hash = Sha256::new();
    for part in [workflow, task, name] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    ActionId::parse(format!("{DERIVED}{hash}-{index}"))
}

/// Whether an action's id was derived, and the action is one of these wires.
pub(crate) fn is_derived(action: &ActionId) -> bool {
    index(action).is_some()
}

/// The index that a derived id holds.
pub(super) fn index(action: &ActionId) -> Option<i64> {
    let (hash, index) = base(action).strip_prefix(DERIVED)?.split_once('-')?;
    (hash.len() == 16).then(|| index.parse().ok()).flatten()
}

/// A derived id without the incarnation.
fn base(action: &ActionId) -> &str {
    let text = action.as_str();
    text.split_once(INCARNATION).map_or(text, |(base, _)| base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_the_same_id_every_time_and_no_other_has_it() {
        let id = action("ns/w", 3, "task", "name").unwrap();
        assert_eq!(id, action("ns/w", 3, "task", "name").unwrap());
        assert_eq!(index(&id), Some(3));
        assert!(is_derived(&id));
        for (workflow, at, task, name) in [
            ("ns/v", 3, "task", "name"),
            ("ns/w", 4, "task", "name"),
            ("ns/w", 3, "taskn", "ame"),
            ("ns/w", 3, "task", "name2"),
        ] {
            assert_ne!(id, action(workflow, at, task, name).unwrap());
        }
    }

    #[test]
    fn other_ids_are_not_taken_for_derived_ones() {
        for text in ["01JD2Z6Y9Q3V5T7X8W0A1B2C3D", "wf-1", "wf-0123456789abcdef-x", "wf-123-4"] {
            assert!(!is_derived(&ActionId::parse(text).unwrap()), "{text}");
        }
        assert_eq!(index(&ActionId::parse("wf-0123456789abcdef-7~2").unwrap()), Some(7));
    }

    #[test]
    fn a_workflow_id_goes_through_unchanged() {
        for text in ["3fa85f64-5717-4562-b3fc-2c963f66afa6", "default/w", "a/b/c", "/x", "x/"] {
            assert_eq!(wire(&workflow(text).unwrap()), text);
        }
        assert!(workflow("").is_err());
    }
}
