//! The tree of a document.

use crate::{Problem, YamlError};

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'single'`.
    SingleQuoted,
    /// `"double"`.
    DoubleQuoted,
    /// A block, `|`.
    Literal,
    /// A folded block, `>`.
    Folded,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value, as text: escapes and folding undone, nothing resolved.
    Scalar {
        /// The text.
        text: String,
        /// How it was written.
        style: Style,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in file order; merged keys (`<<`) come last.
    Mapping(Vec<(Node, Node)>),
}

/// A value and its place in the text. An expanded alias has the place of the value it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it holds.
    pub kind: Kind,
    /// Explicit tag, with `!!` for YAML's own (`!!str`); `None` where none was written.
    pub tag: Option<String>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Node {
    /// The value of `key` in a mapping; `None` if there is none or this is no mapping. A key is found by its text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        // From the end, so that the last one wins where duplicates are allowed; merged keys never repeat a written one.
        self.entries().iter().rev().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// Keys and values of a mapping in file order, empty for anything else.
    #[must_use]
    pub fn entries(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Items of a sequence, empty for anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Text of a scalar as written, nothing resolved.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether this is a mapping.
    #[must_use]
    pub fn is_mapping(&self) -> bool {
        matches!(self.kind, Kind::Mapping(_))
    }

    /// Whether this is a sequence.
    #[must_use]
    pub fn is_sequence(&self) -> bool {
        matches!(self.kind, Kind::Sequence(_))
    }

    /// What this is, for messages: `a list`, `a mapping`, or the value itself, cut to fit a line.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
            Kind::Scalar { .. } if self.is_null() => "nothing (null)".to_owned(),
            Kind::Scalar { text, style } => {
                let mut shown: String = text.chars().take(40).collect();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                if *style == Style::Plain { format!("`{shown}`") } else { format!("{shown:?}") }
            }
        }
    }

    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
            Kind::Scalar { .. } => "a single value",
        }
    }

    pub(crate) fn error(&self, problem: Problem) -> YamlError {
        YamlError::new(self.line, self.column, problem)
    }
}
