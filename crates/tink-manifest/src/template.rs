//! Template: the text that is rendered for a machine.

use serde_json::{Value, json};
use tink_yaml::Node;

use crate::fields::Document;
use crate::{API_VERSION, Metadata, Problem};

/// A Template object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Name, namespace, labels and annotations.
    pub metadata: Metadata,
    /// The template's source.
    pub data: String,
}

impl Template {
    pub(crate) fn read(document: &mut Document<'_>, root: &Node) -> Self {
        const ALLOWED: &str = "the template's text, after `data: |`";
        let metadata = Metadata::read(document, root);
        let missing = || Problem::Missing { allowed: ALLOWED.to_owned() };
        let mut data = String::new();
        if let Some(spec) = document.mapping(root, "spec", "spec") {
            document.only(spec, "spec", &["data"]);
            match spec.get("data") {
                Some(node) if node.text().is_some() && !node.is_null() => {
                    data = document.text(spec, "data", "spec.data");
                }
                Some(node) if !node.is_null() => document.wrong(node, "spec.data", ALLOWED),
                _ => document.error(spec, "spec.data", missing()),
            }
        } else if root.get("spec").is_none_or(Node::is_null) {
            document.error(root, "spec.data", missing());
        }
        Self { metadata, data }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": "Template",
            "metadata": self.metadata.to_json(),
            "spec": { "data": self.data },
        })
    }
}
