//! Walking the tree.

use super::{Context, LineIndex, Output, Stop};
use crate::syntax::{Branch, List, Node, Pipe, Templates};
use crate::value::{IntType, Value, is_true, printable};

/// Nesting of templates, control actions and parentheses while executing. Go allows 100,000 template calls; here every
/// thread's stack must do.
const DEPTH_MAX: usize = 250;

pub(super) type Outcome<T> = Result<T, Box<Stop>>;

/// How a list ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// One execution.
pub(crate) struct Executor<'t> {
    pub(super) templates: &'t Templates,
    pub(super) context: &'t Context,
    pub(super) lines: &'t LineIndex<'t>,
    pub(super) output: &'t mut Output,
    /// The variables in scope, innermost last.
    pub(super) variables: Vec<(&'t str, Value)>,
    pub(super) depth: usize,
}

impl<'t> Executor<'t> {
    pub(crate) fn new(
        templates: &'t Templates,
        context: &'t Context,
        lines: &'t LineIndex<'t>,
        output: &'t mut Output,
    ) -> Self {
        Self { templates, context, lines, output, variables: Vec::new(), depth: 0 }
    }

    /// Executes the template `name` on `data`.
    pub(crate) fn run(&mut self, name: &str, data: &Value) -> Outcome<()> {
        let Some(root) = self.templates.get(name) else { return Ok(()) };
        self.variables.push(("$", data.clone()));
        self.list(root, data).map(|_| ())
    }

    pub(super) fn enter(&mut self, at: usize) -> Outcome<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Stop::limit(
                at,
                format!(
                    "templates and blocks call each other more than {DEPTH_MAX} levels deep; does a template call itself?"
                ),
            ));
        }
        Ok(())
    }

    fn work(&self, at: usize, units: u64) -> Outcome<()> {
        self.context.work(units).map_err(|fault| Stop::from_fault(at, fault))
    }

    fn list(&mut self, list: &'t List, dot: &Value) -> Outcome<Flow> {
        for node in list {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'t Node, dot: &Value) -> Outcome<Flow> {
        match node {
            Node::Text { at, text } => {
                self.work(*at, 1)?;
                let line = self.lines.line(*at);
                self.output.literal(text.as_bytes(), line).map_err(|()| self.full(*at))?;
                Ok(Flow::Next)
            }
            Node::Action(pipe) => self.action(pipe, dot),
            Node::If(branch) => self.if_or_with(branch, dot, false),
            Node::With(branch) => self.if_or_with(branch, dot, true),
            Node::Range(branch) => self.range(branch, dot),
            Node::Template { at, name, pipe } => self.template(*at, name, pipe.as_ref(), dot),
            Node::Break => Ok(Flow::Break),
            Node::Continue => Ok(Flow::Continue),
        }
    }

    fn full(&self, at: usize) -> Box<Stop> {
        Stop::limit(at, "the rendered text is larger than allowed here; make the template or its data smaller")
    }

    fn action(&mut self, pipe: &'t Pipe, dot: &Value) -> Outcome<Flow> {
        let value = self.pipe(pipe, dot)?;
        if pipe.variables.is_empty() {
            let text = printable(self.context, &value).map_err(|fault| Stop::from_fault(pipe.at, fault))?;
            let line = self.lines.line(pipe.at);
            self.output.printed(text.as_bytes(), line).map_err(|()| self.full(pipe.at))?;
        }
        Ok(Flow::Next)
    }

    fn if_or_with(&mut self, branch: &'t Branch, dot: &Value, with: bool) -> Outcome<Flow> {
        self.enter(branch.pipe.at)?;
        let mark = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if is_true(&value) {
            self.list(&branch.body, if with { &value } else { dot })?
        } else if let Some(otherwise) = &branch.otherwise {
            self.list(otherwise, dot)?
        } else {
            Flow::Next
        };
        self.variables.truncate(mark);
        self.depth -= 1;
        Ok(flow)
    }

    fn range(&mut self, branch: &'t Branch, dot: &Value) -> Outcome<Flow> {
        self.enter(branch.pipe.at)?;
        let mark = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?.indirect();
        let ran = self.iterate(branch, &value)?;
        let mut flow = Flow::Next;
        if !ran && let Some(otherwise) = &branch.otherwise {
            flow = self.list(otherwise, dot)?;
        }
        self.variables.truncate(mark);
        self.depth -= 1;
        Ok(flow)
    }

    /// Runs the body for each item; false when there was none.
    fn iterate(&mut self, branch: &'t Branch, value: &Value) -> Outcome<bool> {
        match value {
            Value::List(list) => {
                for (i, item) in list.items().iter().enumerate() {
                    if self.iteration(branch, &Value::int(i), item)? == Flow::Break {
                        break;
                    }
                }
                Ok(list.len() > 0)
            }
            Value::Map(map) => {
                let entries = map.snapshot();
                for (key, item) in &entries {
                    if self.iteration(branch, &Value::Str(key.clone()), item)? == Flow::Break {
                        break;
                    }
                }
                Ok(!entries.is_empty())
            }
            Value::Int(kind, count) => self.count(branch, *count, |n| Value::Int(*kind, n)),
            Value::Uint(kind, count) => {
                let count = i64::try_from(*count).unwrap_or(i64::MAX);
                self.count(branch, count, |n| Value::Uint(*kind, n.unsigned_abs()))
            }
            Value::Nil => Ok(false),
            Value::Pointer(_) => Ok(false),
            other => Err(Stop::new(
                branch.pipe.at,
                format!("`range` goes over lists, maps and integers, not over a {}", other.type_name()),
            )),
        }
    }

    fn count(&mut self, branch: &'t Branch, count: i64, make: impl Fn(i64) -> Value) -> Outcome<bool> {
        if branch.pipe.variables.len() > 1 {
            return Err(Stop::new(branch.pipe.at, "`range` over an integer has only one variable"));
        }
        for n in 0..count {
            if self.iteration(branch, &Value::Int(IntType::Int, n), &make(n))? == Flow::Break {
                break;
            }
        }
        Ok(count > 0)
    }

    fn iteration(&mut self, branch: &'t Branch, key: &Value, item: &Value) -> Outcome<Flow> {
        self.work(branch.pipe.at, 2)?;
        let mark = self.variables.len();
        let names = &branch.pipe.variables;
        match (names.as_slice(), branch.pipe.assigns) {
            ([name], true) => self.assign(branch.pipe.at, name, item)?,
            ([first, second], true) => {
                self.assign(branch.pipe.at, first, key)?;
                self.assign(branch.pipe.at, second, item)?;
            }
            ([_], false) => self.set_top(1, item),
            ([_, _], false) => {
                self.set_top(1, item);
                self.set_top(2, key);
            }
            _ => {}
        }
        let flow = self.list(&branch.body, item)?;
        self.variables.truncate(mark);
        Ok(if flow == Flow::Break { Flow::Break } else { Flow::Next })
    }

    /// Sets the n-th variable from the top, which the pipeline declared.
    fn set_top(&mut self, n: usize, value: &Value) {
        let at = self.variables.len().checked_sub(n);
        if let Some((_, slot)) = at.and_then(|at| self.variables.get_mut(at)) {
            *slot = value.clone();
        }
    }

    pub(super) fn assign(&mut self, at: usize, name: &str, value: &Value) -> Outcome<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, slot)) => {
                *slot = value.clone();
                Ok(())
            }
            None => Err(Stop::new(
                at,
                format!("the variable {name} is assigned but not declared; declare it with `{name} :=`"),
            )),
        }
    }

    fn template(&mut self, at: usize, name: &str, pipe: Option<&'t Pipe>, dot: &Value) -> Outcome<Flow> {
        let Some(root) = self.templates.get(name) else {
            let names: Vec<String> = self.templates.keys().filter(|name| *name != crate::NAME).cloned().collect();
            return Err(Stop::new(
                at,
                format!("there is no template {name:?} (defined here: {})", crate::advice::listed(&names)),
            ));
        };
        self.enter(at)?;
        self.work(at, 4)?;
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        // A template sees no variables of its caller.
        let outer = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        self.list(root, &dot)?;
        self.variables = outer;
        self.depth -= 1;
        Ok(Flow::Next)
    }
}
