//! What every object carries.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tink_yaml::Node;

use crate::Problem;
use crate::fields::Document;
use crate::names::{LABEL_RULE, SUBDOMAIN_RULE, is_dns_label, is_dns_subdomain};

/// The namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// Name, namespace, labels and annotations of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// A DNS-1123 subdomain.
    pub name: String,
    /// A DNS-1123 label; `default` where none was given.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// Metadata of an object without labels and annotations.
    #[must_use]
    pub fn named(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { name: name.into(), namespace: namespace.into(), ..Self::default() }
    }

    pub(crate) fn read(document: &mut Document<'_>, root: &Node) -> Self {
        let Some(node) = document.mapping(root, "metadata", "metadata") else {
            if root.get("metadata").is_none_or(Node::is_null) {
                let allowed = "a mapping with the object's `name`".to_owned();
                document.error(root, "metadata", Problem::Missing { allowed });
            }
            return Self::default();
        };
        let name = document.text(node, "name", "metadata.name");
        let namespace = document.text(node, "namespace", "metadata.namespace");
        match node.get("name") {
            Some(at) if !is_dns_subdomain(&name) && at.text().is_some() => {
                document.wrong(at, "metadata.name", SUBDOMAIN_RULE);
            }
            None => document.error(node, "metadata.name", Problem::Missing { allowed: SUBDOMAIN_RULE.to_owned() }),
            Some(_) => {}
        }
        if let Some(at) = node.get("namespace").filter(|_| !namespace.is_empty())
            && !is_dns_label(&namespace)
        {
            document.wrong(at, "metadata.namespace", LABEL_RULE);
        }
        Self {
            name,
            namespace: if namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { namespace },
            labels: document.text_map(node, "labels", "metadata.labels"),
            annotations: document.text_map(node, "annotations", "metadata.annotations"),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".to_owned(), json!(self.name));
        map.insert("namespace".to_owned(), json!(self.namespace));
        for (key, texts) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !texts.is_empty() {
                map.insert(key.to_owned(), json!(texts));
            }
        }
        Value::Object(map)
    }
}
