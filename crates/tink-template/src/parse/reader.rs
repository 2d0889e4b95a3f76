//! Typed fields out of nodes, collecting what is wrong instead of stopping at it.

use std::collections::BTreeMap;

use tink_workflow::WorkflowSpec;
use tink_yaml::{Node, Problem, YamlError};

use super::Parsed;
use super::finding::{Finding, ParseErrors, Severity};
use super::seconds::seconds_of;

/// Findings of one kind that are kept; the rest is counted. A text of 256 KiB can hold tens of thousands.
const FINDINGS_MAX: usize = 200;

pub(super) struct Reader<'map> {
    map: &'map dyn Fn(usize) -> Option<usize>,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Errors and warnings that were not kept.
    dropped: [usize; 2],
}

impl<'map> Reader<'map> {
    pub(super) fn new(map: &'map dyn Fn(usize) -> Option<usize>) -> Self {
        Self { map, errors: Vec::new(), warnings: Vec::new(), dropped: [0; 2] }
    }

    pub(super) fn finish(mut self, spec: WorkflowSpec) -> Result<Parsed, ParseErrors> {
        if !self.errors.is_empty() {
            return Err(self.into_errors());
        }
        self.settle();
        Ok(Parsed { spec, warnings: self.warnings })
    }

    pub(super) fn into_errors(mut self) -> ParseErrors {
        self.settle();
        ParseErrors { errors: self.errors, warnings: self.warnings }
    }

    /// Brings the findings into file order and says what was left out.
    fn settle(&mut self) {
        let all = [(&mut self.errors, self.dropped[0]), (&mut self.warnings, self.dropped[1])];
        for (findings, dropped) in all {
            findings.sort_by_key(|finding| (finding.rendered_line, finding.rendered_column));
            if dropped > 0
                && let Some(last) = findings.last().cloned()
            {
                findings.push(Finding { message: format!("and {dropped} more"), field: String::new(), ..last });
            }
        }
    }

    pub(super) fn error_at(&mut self, at: (usize, usize), field: &str, message: impl Into<String>) {
        self.push(Severity::Error, at, field, message.into());
    }

    pub(super) fn warn_at(&mut self, at: (usize, usize), field: &str, message: impl Into<String>) {
        self.push(Severity::Warning, at, field, message.into());
    }

    pub(super) fn warn(&mut self, node: &Node, field: &str, message: impl Into<String>) {
        self.warn_at((node.line, node.column), field, message);
    }

    fn push(&mut self, severity: Severity, at: (usize, usize), field: &str, message: String) {
        let findings = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if findings.len() == FINDINGS_MAX {
            self.dropped[usize::from(severity == Severity::Warning)] += 1;
            return;
        }
        let (rendered_line, rendered_column) = at;
        let source_line = (self.map)(rendered_line);
        findings.push(Finding {
            severity,
            message,
            field: field.to_owned(),
            rendered_line,
            rendered_column,
            source_line,
        });
    }

    /// Whether an error was found at `field` or inside it.
    pub(super) fn has_error_within(&self, field: &str) -> bool {
        self.errors.iter().any(|error| is_within(&error.field, field))
    }

    /// The fields with errors so far.
    pub(super) fn fields_with_errors(&self) -> Vec<String> {
        self.errors.iter().map(|error| error.field.clone()).collect()
    }

    fn yaml(&mut self, error: &YamlError, field: &str, allowed: &str) {
        let found = match &error.problem {
            Problem::Type { found, .. } => format!("found {found}"),
            other => other.to_string(),
        };
        self.error_at((error.line, error.column), field, format!("{found}; allowed: {allowed}"));
    }

    /// The text of a `string` field; empty for null and for nothing.
    pub(super) fn text(&mut self, node: Option<&Node>, field: &str) -> String {
        let Some(node) = node else { return String::new() };
        match node.go_string() {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                self.yaml(&error, field, "text");
                String::new()
            }
        }
    }

    /// Seconds; 0 for null and for nothing.
    pub(super) fn seconds(&mut self, node: Option<&Node>, field: &str) -> u64 {
        let Some(node) = node else { return 0 };
        match node.go_int64() {
            Ok(value) => u64::try_from(value.unwrap_or(0)).unwrap_or_else(|_| {
                let message = format!("found {}; allowed: 0 (no limit) or a number of seconds", node.describe());
                self.error_at((node.line, node.column), field, message);
                0
            }),
            Err(error) => {
                let mut allowed = "a whole number of seconds, unquoted".to_owned();
                if let Some(seconds) = node.text().and_then(seconds_of) {
                    allowed = format!("{allowed}; this would be {seconds}");
                }
                self.yaml(&error, field, &allowed);
                0
            }
        }
    }

    /// `true` or `false`; false for null and for nothing.
    pub(super) fn truth(&mut self, node: Option<&Node>, field: &str) -> bool {
        let Some(node) = node.filter(|node| !node.is_null()) else { return false };
        match node.text() {
            Some("true") => true,
            Some("false") => false,
            _ => {
                let message = format!("found {}; allowed: true or false", node.describe());
                self.error_at((node.line, node.column), field, message);
                false
            }
        }
    }

    /// Items of a list that are not null, which Go's YAML drops from lists; empty for null and for nothing.
    pub(super) fn list<'node>(&mut self, node: Option<&'node Node>, field: &str, allowed: &str) -> Vec<&'node Node> {
        match node {
            None => Vec::new(),
            Some(node) if node.is_null() => Vec::new(),
            Some(node) if node.is_sequence() => node.items().iter().filter(|item| !item.is_null()).collect(),
            Some(node) => {
                let message = format!("found {}; allowed: {allowed}", node.describe());
                self.error_at((node.line, node.column), field, message);
                Vec::new()
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, node: Option<&Node>, field: &str, allowed: &str) -> Vec<String> {
        let items = self.list(node, field, allowed);
        items.iter().enumerate().map(|(nth, item)| self.text(Some(item), &format!("{field}[{nth}]"))).collect()
    }

    /// A mapping of texts to texts; a null value is empty text.
    pub(super) fn text_map(&mut self, node: Option<&Node>, field: &str) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let Some(node) = node.filter(|node| !node.is_null()) else { return map };
        if !node.is_mapping() {
            let message = format!("found {}; allowed: a mapping such as `KEY: value`", node.describe());
            self.error_at((node.line, node.column), field, message);
            return map;
        }
        for (key, value) in node.entries() {
            match key.go_string() {
                Ok(Some(name)) => {
                    let text = self.text(Some(value), &format!("{field}.{name}"));
                    map.insert(name, text);
                }
                Ok(None) => {}
                Err(error) => self.yaml(&error, field, "text as a key"),
            }
        }
        map
    }

    /// Whether `node` is a mapping; reports it if it is something else.
    pub(super) fn is_mapping(&mut self, node: &Node, field: &str, allowed: &str) -> bool {
        if !node.is_mapping() {
            let message = format!("found {}; allowed: {allowed}", node.describe());
            self.error_at((node.line, node.column), field, message);
        }
        node.is_mapping()
    }
}

/// Whether `inner` is `field` or a part of it. Everything is a part of the text as a whole.
pub(super) fn is_within(inner: &str, field: &str) -> bool {
    let rest = inner.strip_prefix(field);
    field.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
