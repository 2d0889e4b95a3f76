//! Carrying a tree out: evaluating pipelines and writing output, within bounds.

mod arguments;
mod context;
mod eval;
mod fault;
mod field;
mod output;
mod walk;

pub(crate) use context::Context;
pub(crate) use fault::{Fault, Stop, StopKind};
pub(crate) use output::{LineIndex, Output};
pub(crate) use walk::Executor;
