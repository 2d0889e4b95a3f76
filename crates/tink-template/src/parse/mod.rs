//! From rendered text to a workflow.
//!
//! Upstream reads rendered templates with `gopkg.in/yaml.v3` into Go structs: unknown keys are ignored, any single value
//! becomes text where text is wanted (`COMPRESSED: true` is `"true"`, `MODE: 0644` is `"0644"`), only the first document
//! counts. [`parse`] does the same (only a key given twice is refused in ignored parts, too), then applies [`tink_workflow::validate`]; what upstream lets pass but hardly anyone
//! means comes as a warning.
//!
//! ```
//! use tink_template::parse::parse;
//! use tink_workflow::Limits;
//!
//! let text = "name: x\ntasks:\n- name: a\n  worker: w\n  actions:\n  - {name: b, image: 'no such image'}\n";
//! let errors = parse(text, &Limits::default(), &|_| None).unwrap_err();
//! assert!(errors.to_string().starts_with("6:22: tasks[0].actions[0].image: "), "{errors}");
//! ```

mod compile;
mod finding;
mod lint;
mod lint_values;
mod reader;
mod seconds;
mod workflow;

use tink_workflow::{Limits, Segment, WorkflowSpec, validate};
use tink_yaml::{Bounds, Node, Problem, parse_first};

pub use compile::{CompileError, Compiled, compile};
pub use finding::{Finding, ParseErrors, Severity};
use reader::{Reader, is_within};

/// A template that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What it asks for; passes [`tink_workflow::validate`].
    pub spec: WorkflowSpec,
    /// What is allowed, but likely not meant, in file order.
    pub warnings: Vec<Finding>,
}

/// Reads the rendered `text` of a template.
///
/// `map` gives the line of the template's source for a line of the rendered text (both from 1), where it is known.
///
/// # Errors
/// Every problem of the text at once, each with its place, its field, what was found and what is allowed.
pub fn parse(text: &str, limits: &Limits, map: &dyn Fn(usize) -> Option<usize>) -> Result<Parsed, ParseErrors> {
    let mut reader = Reader::new(map);
    let bounds = Bounds {
        text_bytes_max: limits.rendered_bytes_max,
        depth_max: limits.depth_max,
        // Aliases may repeat what they name, but not grow the text past what could have been written out.
        nodes_max: limits.rendered_bytes_max.saturating_mul(2),
        scalar_bytes_max: limits.rendered_bytes_max.saturating_mul(4),
        ..Bounds::default()
    };
    let root = match parse_first(text, &bounds) {
        Ok(first) => {
            if let Some(line) = first.second_line {
                let message = "a second document starts here and is ignored; a template is one document";
                reader.warn_at((line, 1), "", message);
            }
            first.node
        }
        Err(error) => {
            reader.error_at((error.line, error.column), "", syntax(&error.problem, text));
            return Err(reader.into_errors());
        }
    };
    let Some(root) = root.filter(|root| !root.is_null()) else {
        reader.error_at((1, 1), "", "the rendered template is empty; allowed: a mapping with `name` and `tasks`");
        return Err(reader.into_errors());
    };
    let spec = workflow::read(&mut reader, &root);
    let unread = reader.fields_with_errors();
    for broken in validate(&spec, limits) {
        let field = broken.field.to_string();
        // What could not be read was reported where it stands; that it is missing is no second problem.
        if !unread.iter().any(|unread| is_within(unread, &field) || is_within(&field, unread)) {
            let message = format!("{}; allowed: {}", broken.found, broken.allowed);
            reader.error_at(locate(&root, &broken.field.0), &field, message);
        }
    }
    reader.finish(spec)
}

/// The words of a YAML problem, with what a template's author can do about an unrendered or unquoted value.
fn syntax(problem: &Problem, text: &str) -> String {
    match problem {
        Problem::TextTooLong { bytes, max } => {
            format!("the rendered text has {bytes} bytes; at most {max} are allowed")
        }
        _ if text.trim_start().starts_with('<') => {
            format!("not YAML: {problem}; the text looks like HTML or XML")
        }
        _ => format!("not YAML: {problem}"),
    }
}

/// Where `path` stands, or the nearest thing above it that is there.
fn locate(root: &Node, path: &[Segment]) -> (usize, usize) {
    let mut at = root;
    for segment in path {
        let next = match segment {
            Segment::Key(key) => at.get(key),
            // Nulls in lists are dropped when the list is read.
            Segment::Index(nth) => at.items().iter().filter(|item| !item.is_null()).nth(*nth),
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    (at.line, at.column)
}

#[cfg(test)]
mod tests;
