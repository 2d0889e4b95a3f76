//! Workflow: the wish to run a template on a machine.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tink_yaml::Node;

use crate::fields::Document;
use crate::{API_VERSION, Metadata, Problem};

const SPEC_KEYS: &[&str] = &["disabled", "templateRef", "hardwareRef", "hardwareMap", "bootOptions"];

/// A Workflow object, without its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowManifest {
    /// Name, namespace, labels and annotations.
    pub metadata: Metadata,
    /// Name of the Template, in the same namespace.
    pub template_ref: String,
    /// Name of the Hardware, in the same namespace; empty if the template needs none.
    pub hardware_ref: String,
    /// Keys that the template sees at its top, such as `device_1`.
    pub hardware_map: BTreeMap<String, String>,
    /// Whether the workflow shall not be rendered yet.
    pub disabled: bool,
    /// What shall happen to the machine's boot before and after, as it was given.
    pub boot_options: Option<Value>,
}

impl WorkflowManifest {
    pub(crate) fn read(document: &mut Document<'_>, root: &Node) -> Self {
        let metadata = Metadata::read(document, root);
        let Some(spec) = document.mapping(root, "spec", "spec") else {
            if root.get("spec").is_none_or(Node::is_null) {
                document.error(root, "spec.templateRef", missing_template());
            }
            return Self { metadata, ..Self::default() };
        };
        document.only(spec, "spec", SPEC_KEYS);
        document.mapping(spec, "bootOptions", "spec.bootOptions");
        let workflow = Self {
            metadata,
            template_ref: document.text(spec, "templateRef", "spec.templateRef"),
            hardware_ref: document.text(spec, "hardwareRef", "spec.hardwareRef"),
            hardware_map: document.text_map(spec, "hardwareMap", "spec.hardwareMap"),
            disabled: document.boolean(spec, "disabled", "spec.disabled"),
            boot_options: document.json(spec, "bootOptions", "spec.bootOptions"),
        };
        let template = spec.get("templateRef");
        if workflow.template_ref.is_empty() && template.is_none_or(|node| node.text().is_some()) {
            document.error(template.unwrap_or(spec), "spec.templateRef", missing_template());
        }
        workflow
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut spec = Map::new();
        spec.insert("templateRef".to_owned(), json!(self.template_ref));
        if !self.hardware_ref.is_empty() {
            spec.insert("hardwareRef".to_owned(), json!(self.hardware_ref));
        }
        if !self.hardware_map.is_empty() {
            spec.insert("hardwareMap".to_owned(), json!(self.hardware_map));
        }
        if self.disabled {
            spec.insert("disabled".to_owned(), json!(true));
        }
        if let Some(boot_options) = &self.boot_options {
            spec.insert("bootOptions".to_owned(), boot_options.clone());
        }
        json!({
            "apiVersion": API_VERSION,
            "kind": "Workflow",
            "metadata": self.metadata.to_json(),
            "spec": spec,
        })
    }
}

fn missing_template() -> Problem {
    Problem::Missing { allowed: "the name of a Template in the same namespace".to_owned() }
}
