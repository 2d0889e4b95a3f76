//! What a user is told when a template does not render.

use crate::advice;

/// A place in the template's source, counted from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a template was not rendered. No message holds a value of the data, only keys and types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The source is larger than the limit.
    #[error("the template has {bytes} bytes; at most {bytes_max} are allowed, so split it or make it smaller")]
    SourceTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The source is not a template.
    #[error("template syntax, {at}: {problem}")]
    Syntax {
        /// Where.
        at: Position,
        /// What was found, and what is allowed.
        problem: String,
    },
    /// The data has no such key.
    #[error("{at}: no key {key:?} in {parent}{}", key_advice(key, available))]
    MissingKey {
        /// Where.
        at: Position,
        /// The key that was asked for.
        key: String,
        /// What it was asked of, such as `.hardware.spec`.
        parent: String,
        /// The keys that are there, sorted.
        available: Vec<String>,
    },
    /// An action failed.
    #[error("{at}: {problem}")]
    Execution {
        /// Where.
        at: Position,
        /// What failed, and what to do.
        problem: String,
    },
    /// A bound on output, recursion or work was reached.
    #[error("{at}: {problem}")]
    LimitReached {
        /// Where.
        at: Position,
        /// Which bound, and what to look for.
        problem: String,
    },
    /// The result is not text.
    #[error("the rendered text is not UTF-8 from byte {byte} (line {line}) on; does it hold decoded binary data?")]
    NotUtf8 {
        /// The first bad byte of the result.
        byte: usize,
        /// Its line in the result.
        line: usize,
    },
}

impl RenderError {
    /// Where in the source, if it is about a place there.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { at, .. }
            | Self::MissingKey { at, .. }
            | Self::Execution { at, .. }
            | Self::LimitReached { at, .. } => Some(*at),
            Self::SourceTooLarge { .. } | Self::NotUtf8 { .. } => None,
        }
    }
}

fn key_advice(key: &str, available: &[String]) -> String {
    let hint = match advice::nearest(key, available.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    };
    if available.is_empty() {
        return format!("{hint}; it has no keys at all");
    }
    format!("{hint} (keys there: {})", advice::listed(available))
}
