//! The template language: source text to a tree of nodes, by Go's rules.

mod lexer;
mod literal;
mod node;
mod parser;
mod pipeline;
mod token;

pub(crate) use literal::{parse_float, parse_int};
pub(crate) use node::{Branch, Command, Expr, List, Node, Number, Pipe, describe};
pub(crate) use parser::{Templates, parse};

/// A fault in the source: where (byte offset) and what.
#[derive(Debug)]
pub(crate) struct SyntaxFault {
    pub(crate) at: usize,
    pub(crate) problem: String,
}

impl SyntaxFault {
    pub(crate) fn new(at: usize, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }
}
