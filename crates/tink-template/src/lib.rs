//! Templates: Go's `text/template` with Sprig's functions, rendered with hardware data as Tinkerbell's controller does.
//!
//! (The full account follows with the functions.)

mod advice;
mod data;
mod error;
mod exec;
mod functions;
mod legacy;
pub mod parse;
mod render;
mod syntax;
mod value;

pub use data::Data;
pub use error::{Position, RenderError};
pub use parse::{CompileError, Compiled, compile};
pub use render::{Rendered, check_syntax, render};

/// The name of the template itself, as in upstream.
const NAME: &str = "workflow-template";
