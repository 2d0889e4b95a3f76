//! What stops an execution.

/// What went wrong in a function or an operation, without a place yet.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) text: String,
    /// A bound was reached; functions that swallow errors must not swallow this.
    pub(crate) is_limit: bool,
}

impl Fault {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_limit: false }
    }

    pub(crate) fn limit(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_limit: true }
    }

    pub(crate) fn too_deep(verb: &str) -> Self {
        Self::limit(format!(
            "cannot {verb} a value that is nested deeper than {} levels; does a map contain itself?",
            crate::value::DEPTH_MAX
        ))
    }
}

/// An execution that ended early: where in the source, and why.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) at: usize,
    pub(crate) kind: StopKind,
}

#[derive(Debug)]
pub(crate) enum StopKind {
    Problem(String),
    MissingKey { key: String, parent: String, keys: Vec<String> },
    Limit(String),
}

impl Stop {
    pub(crate) fn new(at: usize, problem: impl Into<String>) -> Box<Self> {
        Box::new(Self { at, kind: StopKind::Problem(problem.into()) })
    }

    pub(crate) fn limit(at: usize, problem: impl Into<String>) -> Box<Self> {
        Box::new(Self { at, kind: StopKind::Limit(problem.into()) })
    }

    /// A function's fault, with its place and name.
    pub(crate) fn in_function(at: usize, name: &str, fault: Fault) -> Box<Self> {
        if fault.is_limit {
            return Self::limit(at, fault.text);
        }
        Self::new(at, format!("`{name}` failed: {}", fault.text))
    }

    pub(crate) fn from_fault(at: usize, fault: Fault) -> Box<Self> {
        if fault.is_limit { Self::limit(at, fault.text) } else { Self::new(at, fault.text) }
    }
}
