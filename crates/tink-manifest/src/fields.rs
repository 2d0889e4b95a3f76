//! Typed fields out of a document, collecting what is wrong.

use std::collections::BTreeMap;

use serde_json::Value;
use tink_yaml::{Dialect, Node, YamlError};

use crate::{ManifestError, Problem};

/// A document that is being read.
pub(crate) struct Document<'file> {
    pub(crate) file: &'file str,
    /// Which one, from 1.
    pub(crate) number: usize,
    pub(crate) errors: Vec<ManifestError>,
}

impl<'file> Document<'file> {
    pub(crate) fn new(file: &'file str, number: usize) -> Self {
        Self { file, number, errors: Vec::new() }
    }

    pub(crate) fn error(&mut self, node: &Node, field: &str, problem: Problem) {
        self.error_at((node.line, node.column), field, problem);
    }

    pub(crate) fn error_at(&mut self, (line, column): (usize, usize), field: &str, problem: Problem) {
        let (file, field) = (self.file.to_owned(), field.to_owned());
        self.errors.push(ManifestError { file, document: self.number, line, column, field, problem });
    }

    pub(crate) fn wrong(&mut self, node: &Node, field: &str, allowed: impl Into<String>) {
        self.error(node, field, Problem::Wrong { found: node.describe(), allowed: allowed.into() });
    }

    pub(crate) fn yaml(&mut self, error: YamlError, field: &str) {
        self.error_at((error.line, error.column), field, Problem::Yaml(error.problem));
    }

    /// The mapping `key` of `parent`; `None` for null and for nothing, and for what is no mapping, which is an error.
    pub(crate) fn mapping<'node>(&mut self, parent: &'node Node, key: &str, field: &str) -> Option<&'node Node> {
        let node = parent.get(key).filter(|node| !node.is_null())?;
        if !node.is_mapping() {
            self.wrong(node, field, "a mapping");
            return None;
        }
        Some(node)
    }

    /// The text `key` of `parent`, numbers and booleans as written; empty for null and for nothing.
    pub(crate) fn text(&mut self, parent: &Node, key: &str, field: &str) -> String {
        let Some(node) = parent.get(key) else { return String::new() };
        match node.go_string() {
            Ok(text) => text.unwrap_or_default(),
            Err(_) => {
                self.wrong(node, field, "text");
                String::new()
            }
        }
    }

    /// The boolean `key` of `parent`; `false` for null and for nothing.
    pub(crate) fn boolean(&mut self, parent: &Node, key: &str, field: &str) -> bool {
        match parent.get(key).map(|node| (node, node.to_json(Dialect::Kubernetes))) {
            None | Some((_, Ok(Value::Null))) => false,
            Some((_, Ok(Value::Bool(value)))) => value,
            Some((node, _)) => {
                self.wrong(node, field, "true or false");
                false
            }
        }
    }

    /// The mapping of texts to texts `key` of `parent`, numbers and booleans as written.
    pub(crate) fn text_map(&mut self, parent: &Node, key: &str, field: &str) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        for (key, value) in self.mapping(parent, key, field).map(Node::entries).unwrap_or_default() {
            let Some(name) = key.text() else {
                self.wrong(key, field, "text as a key");
                continue;
            };
            match value.go_string() {
                Ok(text) => {
                    map.insert(name.to_owned(), text.unwrap_or_default());
                }
                Err(_) => self.wrong(value, &format!("{field}.{name}"), "text"),
            }
        }
        map
    }

    /// The value `key` of `parent` as JSON; `None` for null and for nothing.
    pub(crate) fn json(&mut self, parent: &Node, key: &str, field: &str) -> Option<Value> {
        match parent.get(key)?.to_json(Dialect::Kubernetes) {
            Ok(Value::Null) => None,
            Ok(value) => Some(value),
            Err(error) => {
                self.yaml(error, field);
                None
            }
        }
    }

    /// Refuses keys of `parent` that are not in `known`, as `kubectl` does.
    pub(crate) fn only(&mut self, parent: &Node, field: &str, known: &[&str]) {
        for (key, _) in parent.entries() {
            if !key.text().is_some_and(|name| known.contains(&name)) {
                self.wrong(key, field, format!("the keys {}", known.join(", ")));
            }
        }
    }
}
