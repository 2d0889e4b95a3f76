//! The kinds of objects.

use serde_json::Value;

use crate::{Hardware, Metadata, Template, WorkflowManifest};

/// The API version of every object that is read and written.
pub const API_VERSION: &str = "tinkerbell.org/v1alpha1";

/// An object from a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// One machine.
    Hardware(Hardware),
    /// The text that is rendered for a machine.
    Template(Template),
    /// The wish to run a template on a machine.
    Workflow(WorkflowManifest),
}

impl Manifest {
    /// `Hardware`, `Template` or `Workflow`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hardware(_) => "Hardware",
            Self::Template(_) => "Template",
            Self::Workflow(_) => "Workflow",
        }
    }

    /// Name, namespace, labels and annotations.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Hardware(hardware) => &hardware.metadata,
            Self::Template(template) => &template.metadata,
            Self::Workflow(workflow) => &workflow.metadata,
        }
    }

    /// The object as Kubernetes has it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Hardware(hardware) => hardware.object().clone(),
            Self::Template(template) => template.to_json(),
            Self::Workflow(workflow) => workflow.to_json(),
        }
    }

    /// The object as YAML, as `kubectl` prints it. Several are joined with `---` lines.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        tink_yaml::to_yaml(&self.to_json())
    }
}
