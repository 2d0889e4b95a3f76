//! Source and data to a workflow, in one step.

use tink_workflow::{Limits, WorkflowSpec};

use super::{Finding, ParseErrors, Parsed, parse};
use crate::{Data, RenderError, Rendered, render};

/// A template that was rendered and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The rendered text.
    pub rendered: String,
    /// What it asks for; passes [`tink_workflow::validate`].
    pub spec: WorkflowSpec,
    /// What is allowed, but likely not meant, in file order.
    pub warnings: Vec<Finding>,
}

/// Why a template makes no workflow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It does not render.
    #[error("failed to render the template")]
    Render(#[source] RenderError),
    /// It renders, but not to a workflow.
    #[error("the rendered template is not a workflow")]
    Parse {
        /// What is wrong with the text.
        #[source]
        errors: ParseErrors,
        /// The text, for whoever wants to see the lines that the errors name. May hold secrets of the hardware data.
        rendered: String,
    },
}

/// Renders `source` with `data` and reads the result.
///
/// # Errors
/// [`CompileError`]: the first problem of rendering, or every problem of the rendered text.
pub fn compile(source: &str, data: &Data, limits: &Limits) -> Result<Compiled, CompileError> {
    let rendered = render(source, data, limits).map_err(CompileError::Render)?;
    let parsed = parse(&rendered.text, limits, &|line| Rendered::source_line(&rendered, line));
    match parsed {
        Ok(Parsed { spec, warnings }) => Ok(Compiled { rendered: rendered.text, spec, warnings }),
        Err(errors) => Err(CompileError::Parse { errors, rendered: rendered.text }),
    }
}
