//! The tree. Every node knows the byte of the source it starts at.

use crate::value::GoStr;

/// A list of nodes: a template, or the body of an action.
pub(crate) type List = Vec<Node>;

#[derive(Debug)]
pub(crate) enum Node {
    /// Literal text and where it starts, after trimming.
    Text {
        at: usize,
        text: GoStr,
    },
    /// `{{pipeline}}`.
    Action(Pipe),
    If(Branch),
    Range(Branch),
    With(Branch),
    Template {
        at: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: List,
    pub(crate) otherwise: Option<List>,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    /// Where the source of the pipeline ends, for quoting it in messages.
    pub(crate) end: usize,
    pub(crate) assigns: bool,
    pub(crate) variables: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

/// An operand and its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) args: Vec<Expr>,
}

#[derive(Debug)]
pub(crate) enum Expr {
    Bool(usize, bool),
    Dot(usize),
    Nil(usize),
    Number(usize, Number),
    Text(usize, GoStr),
    /// `.A.B`
    Field(usize, Vec<String>),
    /// `$x.A.B`: the variable's name with its dollar, then the fields.
    Variable(usize, String, Vec<String>),
    Function(usize, String),
    Pipe(Pipe),
    /// `(pipeline).A.B` or `function.A.B`
    Chain(usize, Box<Expr>, Vec<String>),
}

impl Expr {
    pub(crate) fn at(&self) -> usize {
        match self {
            Self::Bool(at, _)
            | Self::Dot(at)
            | Self::Nil(at)
            | Self::Number(at, _)
            | Self::Text(at, _)
            | Self::Field(at, _)
            | Self::Variable(at, ..)
            | Self::Function(at, _)
            | Self::Chain(at, ..) => *at,
            Self::Pipe(pipe) => pipe.at,
        }
    }
}

/// A number of the source, in every type that can hold it: Go decides by where it is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
}

/// The expression as it is named in messages.
pub(crate) fn describe(expr: &Expr) -> String {
    match expr {
        Expr::Bool(_, value) => value.to_string(),
        Expr::Dot(_) => ".".to_owned(),
        Expr::Nil(_) => "nil".to_owned(),
        Expr::Number(_, number) => number.text.clone(),
        Expr::Text(..) => "the string".to_owned(),
        Expr::Field(_, fields) => format!(".{}", fields.join(".")),
        Expr::Variable(_, name, fields) if fields.is_empty() => name.clone(),
        Expr::Variable(_, name, fields) => format!("{name}.{}", fields.join(".")),
        Expr::Function(_, name) => name.clone(),
        Expr::Pipe(_) => "(…)".to_owned(),
        Expr::Chain(_, inner, fields) => format!("{}.{}", describe(inner), fields.join(".")),
    }
}
