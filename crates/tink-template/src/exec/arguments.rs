//! Arguments: evaluated for the type that the parameter has.

use super::Stop;
use super::walk::{Executor, Outcome};
use crate::functions::{Function, Param};
use crate::syntax::{Expr, Number, describe};
use crate::value::{IntType, List, Map, UintType, Value};

impl<'t> Executor<'t> {
    pub(super) fn arguments(
        &mut self,
        at: usize,
        function: &Function,
        args: &'t [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Outcome<Vec<Value>> {
        let count = args.len() + usize::from(last.is_some());
        check_count(at, function, count)?;
        let mut values = Vec::with_capacity(count);
        for (i, arg) in args.iter().enumerate() {
            values.push(self.argument(at, function.name, i, arg, function.param(i), dot)?);
        }
        if let Some(last) = last {
            let param = function.param(args.len());
            values.push(fit(at, function.name, args.len(), last, param)?);
        }
        Ok(values)
    }

    /// One argument, for a parameter of type `param`.
    pub(super) fn argument(
        &mut self,
        call_at: usize,
        name: &str,
        index: usize,
        arg: &'t Expr,
        param: Param,
        dot: &Value,
    ) -> Outcome<Value> {
        let at = arg.at();
        let value = match arg {
            Expr::Dot(_) => dot.clone(),
            Expr::Nil(_) => return self.nil(at, name, index, param),
            Expr::Field(at, fields) => {
                let value = self.fields(*at, dot.clone(), ".", fields, &[], None, dot)?;
                return fit_field(*at, name, index, value, param);
            }
            Expr::Variable(at, variable, fields) => {
                let value = self.variable(*at, variable)?;
                if fields.is_empty() {
                    value
                } else {
                    let value = self.fields(*at, value, variable, fields, &[], None, dot)?;
                    return fit_field(*at, name, index, value, param);
                }
            }
            Expr::Pipe(pipe) => self.pipe(pipe, dot)?,
            Expr::Function(at, inner) => self.function(*at, inner, &[], None, dot)?,
            Expr::Chain(..) => self.chain(arg, dot)?,
            Expr::Bool(_, value) if param == Param::Bool => return Ok(Value::Bool(*value)),
            Expr::Text(_, text) if param == Param::Str => return Ok(Value::Str(text.clone())),
            Expr::Number(_, number) if param.is_number() => return self.number(at, name, index, number, param),
            Expr::Bool(..) | Expr::Text(..) | Expr::Number(..) => {
                let value = self.constant(arg, dot)?;
                if param != Param::Any {
                    return Err(wrong_type(at, name, index, param, &value));
                }
                value
            }
        };
        fit(if at == 0 { call_at } else { at }, name, index, value, param)
    }

    fn chain(&mut self, chain: &'t Expr, dot: &Value) -> Outcome<Value> {
        let Expr::Chain(at, inner, fields) = chain else {
            return self.constant(chain, dot);
        };
        let receiver = match inner.as_ref() {
            Expr::Pipe(pipe) => self.pipe(pipe, dot)?,
            Expr::Function(at, name) => self.function(*at, name, &[], None, dot)?,
            other => self.constant(other, dot)?,
        };
        self.fields(*at, receiver, &describe(inner), fields, &[], None, dot)
    }

    fn nil(&self, at: usize, name: &str, index: usize, param: Param) -> Outcome<Value> {
        match param {
            Param::Any => Ok(Value::Nil),
            Param::Map => Ok(Value::Map(Map::nil())),
            Param::List => Ok(Value::List(List::nil("interface {}"))),
            _ => Err(Stop::new(
                at,
                format!("the {} argument of `{name}` is {}, which cannot be nil", ordinal(index), param.noun()),
            )),
        }
    }

    fn number(&self, at: usize, name: &str, index: usize, number: &Number, param: Param) -> Outcome<Value> {
        let value = match param {
            Param::Int => number.int.map(|int| Value::Int(IntType::Int, int)),
            Param::Uint32 => {
                number.uint.filter(|uint| *uint <= u64::from(u32::MAX)).map(|uint| Value::Uint(UintType::Uint64, uint))
            }
            _ => number.float.map(Value::Float),
        };
        value.ok_or_else(|| {
            Stop::new(
                at,
                format!("the {} argument of `{name}` must be {}, not {}", ordinal(index), param.noun(), number.text),
            )
        })
    }
}

fn check_count(at: usize, function: &Function, count: usize) -> Outcome<()> {
    let fixed = function.params.len() - usize::from(function.variadic);
    let right = if function.variadic { count >= fixed } else { count == fixed };
    if right {
        return Ok(());
    }
    let wanted = match (function.variadic, fixed) {
        (true, n) => format!("at least {n}"),
        (false, n) => n.to_string(),
    };
    let plural = if fixed == 1 { "" } else { "s" };
    Err(Stop::new(at, format!("`{}` wants {wanted} argument{plural}, not {count}", function.name)))
}

/// Fits the value of a field: a nil there is an interface, which is no map and no list.
fn fit_field(at: usize, name: &str, index: usize, value: Value, param: Param) -> Outcome<Value> {
    if matches!(value, Value::Nil) && param != Param::Any {
        return Err(wrong_type(at, name, index, param, &value));
    }
    fit(at, name, index, value, param)
}

/// The value as the parameter's type, or a message. One pointer is followed.
pub(super) fn fit(at: usize, name: &str, index: usize, value: Value, param: Param) -> Outcome<Value> {
    if param.accepts(&value) {
        return Ok(value);
    }
    match (&value, param) {
        (Value::Nil, Param::Map) => return Ok(Value::Map(Map::nil())),
        (Value::Nil, Param::List) => return Ok(Value::List(List::nil("interface {}"))),
        (Value::Pointer(pointer), _) => {
            if let Some(target) = pointer.target.as_deref()
                && param.accepts(target)
            {
                return Ok(target.clone());
            }
        }
        _ => {}
    }
    Err(wrong_type(at, name, index, param, &value))
}

fn wrong_type(at: usize, name: &str, index: usize, param: Param, value: &Value) -> Box<Stop> {
    let found = match value {
        Value::Nil => "nil".to_owned(),
        value => format!("of type {}", value.type_name()),
    };
    let hint = match (param, value) {
        (Param::Int, Value::Float(_) | Value::Int(..)) => "; convert it with `int`",
        (Param::Str, Value::Nil) => "; give it a default with `default`",
        (Param::Str, _) => "; convert it with `toString`",
        _ => "",
    };
    Stop::new(at, format!("the {} argument of `{name}` must be {}, but is {found}{hint}", ordinal(index), param.noun()))
}

fn ordinal(index: usize) -> String {
    match index {
        0 => "first".to_owned(),
        1 => "second".to_owned(),
        2 => "third".to_owned(),
        n => format!("{}th", n + 1),
    }
}
