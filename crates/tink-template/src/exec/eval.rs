//! Evaluating pipelines, commands and operands.

use super::Stop;
use super::walk::{Executor, Outcome};
use crate::functions::{self, Function, Param};
use crate::syntax::{Command, Expr, Number, Pipe, describe};
use crate::value::{IntType, Value, is_true};

impl<'t> Executor<'t> {
    /// The value of a pipeline; its variables are declared or assigned.
    pub(super) fn pipe(&mut self, pipe: &'t Pipe, dot: &Value) -> Outcome<Value> {
        self.enter(pipe.at)?;
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(pipe.at, name, &value)?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        self.depth -= 1;
        Ok(value)
    }

    /// The value of a command; `last` is what came through the pipe.
    fn command(&mut self, command: &'t Command, dot: &Value, last: Option<Value>) -> Outcome<Value> {
        let Some((first, args)) = command.args.split_first() else {
            return Err(Stop::new(command.at, "an empty command"));
        };
        self.context.work(1).map_err(|fault| Stop::from_fault(command.at, fault))?;
        match first {
            Expr::Field(at, fields) => self.fields(*at, dot.clone(), ".", fields, args, last, dot),
            Expr::Chain(at, inner, fields) => {
                let receiver = self.chain_start(inner, dot)?;
                self.fields(*at, receiver, &describe(inner), fields, args, last, dot)
            }
            Expr::Variable(at, name, fields) => {
                let value = self.variable(*at, name)?;
                if fields.is_empty() {
                    not_a_function(first, args, last.as_ref())?;
                    return Ok(value);
                }
                self.fields(*at, value, name, fields, args, last, dot)
            }
            Expr::Function(at, name) => self.function(*at, name, args, last, dot),
            Expr::Pipe(pipe) => {
                not_a_function(first, args, last.as_ref())?;
                self.pipe(pipe, dot)
            }
            _ => {
                not_a_function(first, args, last.as_ref())?;
                match first {
                    Expr::Nil(at) => Err(Stop::new(*at, "nil is not a command; it can only be an argument")),
                    _ => self.constant(first, dot),
                }
            }
        }
    }

    fn chain_start(&mut self, inner: &'t Expr, dot: &Value) -> Outcome<Value> {
        match inner {
            Expr::Pipe(pipe) => self.pipe(pipe, dot),
            Expr::Function(at, name) => self.function(*at, name, &[], None, dot),
            _ => self.constant(inner, dot),
        }
    }

    pub(super) fn variable(&self, at: usize, name: &str) -> Outcome<Value> {
        let found = self.variables.iter().rev().find(|(known, _)| *known == name);
        found
            .map(|(_, value)| value.clone())
            .ok_or_else(|| Stop::new(at, format!("the variable {name} is not declared here")))
    }

    /// A constant, or dot, where any type will do.
    pub(super) fn constant(&mut self, expr: &'t Expr, dot: &Value) -> Outcome<Value> {
        match expr {
            Expr::Bool(_, value) => Ok(Value::Bool(*value)),
            Expr::Dot(_) => Ok(dot.clone()),
            Expr::Number(at, number) => ideal(*at, number),
            Expr::Text(_, text) => Ok(Value::Str(text.clone())),
            _ => Err(Stop::new(expr.at(), format!("cannot evaluate {} here", describe(expr)))),
        }
    }

    pub(super) fn function(
        &mut self,
        at: usize,
        name: &str,
        args: &'t [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Outcome<Value> {
        let Some(function) = functions::find(name) else {
            return Err(Stop::new(at, crate::advice::unknown_function(name)));
        };
        if matches!(name, "and" | "or") {
            return self.and_or(at, name, args, last, dot);
        }
        let values = self.arguments(at, function, args, last, dot)?;
        self.call(at, function, &values)
    }

    /// Calls a function on checked arguments, and takes the size of what goes in and out from the budget.
    fn call(&mut self, at: usize, function: &Function, values: &[Value]) -> Outcome<Value> {
        let result = values
            .iter()
            .try_for_each(|value| self.context.weigh(value))
            .and_then(|()| (function.body)(self.context, values))
            .and_then(|value| self.context.weigh(&value).map(|()| value));
        result.map_err(|fault| Stop::in_function(at, function.name, fault))
    }

    /// `and` and `or` evaluate only as many arguments as they need.
    fn and_or(&mut self, at: usize, name: &str, args: &'t [Expr], last: Option<Value>, dot: &Value) -> Outcome<Value> {
        if args.is_empty() && last.is_none() {
            return Err(Stop::new(at, format!("`{name}` wants at least 1 argument")));
        }
        let mut value = Value::Nil;
        for arg in args {
            value = self.argument(at, name, 0, arg, Param::Any, dot)?;
            if is_true(&value) == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}

fn not_a_function(first: &Expr, args: &[Expr], last: Option<&Value>) -> Outcome<()> {
    if args.is_empty() && last.is_none() {
        return Ok(());
    }
    Err(Stop::new(first.at(), format!("{} is not a function and takes no arguments", describe(first))))
}

/// The value of a number where its type is open: int, or float64 when it is written as one.
fn ideal(at: usize, number: &Number) -> Outcome<Value> {
    let is_hex = number.text.to_ascii_lowercase().starts_with("0x") && !number.text.contains(['p', 'P']);
    let looks_float = !is_hex && !number.text.starts_with('\'') && number.text.contains(['.', 'e', 'E', 'p', 'P']);
    match (number.float, number.int) {
        (Some(float), _) if looks_float => Ok(Value::Float(float)),
        (_, Some(int)) => Ok(Value::Int(IntType::Int, int)),
        _ => Err(Stop::new(at, format!("the number {} does not fit into an int", number.text))),
    }
}
