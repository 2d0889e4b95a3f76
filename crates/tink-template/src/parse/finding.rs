//! What was found in a template, and how it is shown.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The template is refused.
    Error,
    /// The template is accepted, but likely does something else than its author thinks.
    Warning,
}

/// One problem and its place. Displayed as `line:column: field: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found and what is allowed.
    pub message: String,
    /// The field, as `tasks[0].actions[2].image`; empty for the text as a whole.
    pub field: String,
    /// Line of the rendered text, from 1.
    pub rendered_line: usize,
    /// Column of the rendered text in characters, from 1.
    pub rendered_column: usize,
    /// Line of the template's source, where it is known.
    pub source_line: Option<usize>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.rendered_line, self.rendered_column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match self.source_line {
            Some(line) if line != self.rendered_line => write!(f, " (line {line} of the template)"),
            _ => Ok(()),
        }
    }
}

/// Why a template was refused. Displays the errors, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors {
    /// The errors in file order; never empty.
    pub errors: Vec<Finding>,
    /// Warnings found on the way, in file order.
    pub warnings: Vec<Finding>,
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, finding) in self.errors.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseErrors {}
