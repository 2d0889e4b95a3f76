//! Ids of workflows on the older wires.

use tink_workflow::WorkflowId;
use tonic::Status;

/// The namespace of an id that names none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// Between namespace and name where a slash cannot stand: neither of them may hold it.
const SEPARATOR: char = '_';

/// How a generation writes the id of a workflow. Each reads every form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireId {
    /// `namespace/name`, as tink v0.10.1 to v0.12.
    Slash,
    /// `name`, or `namespace_name` outside the default namespace: workers of tink v0.2 to v0.6 make a directory of that
    /// name, whose parent must exist, and the CLI takes only UUIDs, which are the names of the workflows it created.
    Flat,
}

impl WireId {
    /// The id for the wire.
    pub fn text(self, id: &WorkflowId) -> String {
        match self {
            Self::Slash => id.to_string(),
            Self::Flat if id.namespace() == DEFAULT_NAMESPACE => id.name().to_owned(),
            Self::Flat => format!("{}{SEPARATOR}{}", id.namespace(), id.name()),
        }
    }

    /// The id from the wire.
    ///
    /// # Errors
    /// INVALID_ARGUMENT says what is wrong with it.
    pub fn parse(self, text: &str) -> Result<WorkflowId, Status> {
        let parsed = if text.contains('/') {
            WorkflowId::parse(text)
        } else if let Some((namespace, name)) = text.split_once(SEPARATOR) {
            WorkflowId::new(namespace, name)
        } else if text.is_empty() {
            return Err(Status::invalid_argument("invalid workflow id: it is empty"));
        } else {
            WorkflowId::new(DEFAULT_NAMESPACE, text)
        };
        parsed.map_err(|error| Status::invalid_argument(format!("invalid workflow id: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_back() {
        for id in ["default/a.b", "lab/w", "default/6b0e1f3c-0000-1000-8000-000000000000"] {
            let id = WorkflowId::parse(id).unwrap();
            for form in [WireId::Slash, WireId::Flat] {
                assert_eq!(WireId::Flat.parse(&form.text(&id)).unwrap(), id);
                assert_eq!(WireId::Slash.parse(&form.text(&id)).unwrap(), id);
            }
            assert!(!WireId::Flat.text(&id).contains('/'));
        }
    }

    #[test]
    fn what_names_no_workflow_is_refused() {
        for text in ["", "/", "a/", "/a", "_", "a_", "_a", "a\nb"] {
            let status = WireId::Flat.parse(text).unwrap_err();
            assert!(status.message().starts_with("invalid workflow id"), "{status:?}");
        }
    }
}
