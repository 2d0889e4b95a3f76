//! Rendering: source and data to text.

use tink_workflow::Limits;

use crate::data::Data;
use crate::error::{Position, RenderError};
use crate::exec::{Context, Executor, LineIndex, Output, Stop, StopKind};
use crate::{NAME, functions, syntax};

/// The text a template rendered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The source line of each line of the text, 0 where none is known.
    origins: Vec<u32>,
}

impl Rendered {
    /// The line of the source that `output_line` of the text comes from, both counted from 1.
    ///
    /// It is the line of whatever put the first visible character on it: of the literal text, or of the action when an
    /// action printed it (all lines of one action's output belong to the action's line). `None` for lines that are not
    /// there.
    pub fn source_line(&self, output_line: usize) -> Option<usize> {
        let origin = *self.origins.get(output_line.checked_sub(1)?)?;
        usize::try_from(origin).ok().filter(|line| *line > 0)
    }
}

/// Renders a template.
///
/// Only `source_bytes_max` and `rendered_bytes_max` of the limits concern a template; recursion and work are bounded by
/// constants of this crate.
///
/// # Errors
/// When the source is too large or no template, when an action fails or asks for a key that is not there, when a bound is
/// reached, or when the result is not UTF-8. Nothing of the text is given then.
pub fn render(source: &str, data: &Data, limits: &Limits) -> Result<Rendered, RenderError> {
    let templates = parsed(source, limits)?;
    let lines = LineIndex::new(source);
    let context = Context::new(data.now_unix_s());
    let mut output = Output::new(limits.rendered_bytes_max);
    let root = data.root();
    Executor::new(&templates, &context, &lines, &mut output).run(NAME, &root).map_err(|stop| stopped(&lines, *stop))?;
    let (bytes, origins) = output.finish();
    let text = String::from_utf8(bytes).map_err(|fault| {
        let byte = fault.utf8_error().valid_up_to();
        let line = 1 + fault.as_bytes().iter().take(byte).filter(|b| **b == b'\n').count();
        RenderError::NotUtf8 { byte, line }
    })?;
    Ok(Rendered { text, origins })
}

/// Checks that the source is a template, without data.
///
/// # Errors
/// When the source is too large, or no template.
pub fn check_syntax(source: &str, limits: &Limits) -> Result<(), RenderError> {
    parsed(source, limits).map(|_| ())
}

fn parsed(source: &str, limits: &Limits) -> Result<syntax::Templates, RenderError> {
    if source.len() > limits.source_bytes_max {
        return Err(RenderError::SourceTooLarge { bytes: source.len(), bytes_max: limits.source_bytes_max });
    }
    syntax::parse(NAME, source, &|name| functions::find(name).is_some())
        .map_err(|fault| RenderError::Syntax { at: place(&LineIndex::new(source), fault.at), problem: fault.problem })
}

fn place(lines: &LineIndex<'_>, at: usize) -> Position {
    let (line, column) = lines.position(at);
    Position { line, column }
}

fn stopped(lines: &LineIndex<'_>, stop: Stop) -> RenderError {
    let at = place(lines, stop.at);
    match stop.kind {
        StopKind::Problem(problem) => RenderError::Execution { at, problem },
        StopKind::Limit(problem) => RenderError::LimitReached { at, problem },
        StopKind::MissingKey { key, parent, keys } => RenderError::MissingKey { at, key, parent, available: keys },
    }
}
