//! Go's comparisons.

use std::cmp::Ordering;

use super::{Function, Param, Returned, fixed, variadic};
use crate::exec::{Context, Fault};
use crate::value::Value;

use Param::Any;

pub(super) const TABLE: &[Function] = &[
    variadic("eq", &[Any, Any], eq),
    fixed("ne", &[Any, Any], |context, args| negated(eq(context, args)?)),
    fixed("lt", &[Any, Any], |_, args| ordered(args, |order| order == Some(Ordering::Less))),
    fixed("le", &[Any, Any], |_, args| ordered(args, |order| matches!(order, Some(Ordering::Less | Ordering::Equal)))),
    // Go negates `le` and `lt` here, which tells for NaN.
    fixed("gt", &[Any, Any], |_, args| ordered(args, |order| !matches!(order, Some(Ordering::Less | Ordering::Equal)))),
    fixed("ge", &[Any, Any], |_, args| ordered(args, |order| order != Some(Ordering::Less))),
];

fn negated(value: Value) -> Returned {
    Ok(Value::Bool(!matches!(value, Value::Bool(true))))
}

/// Equal to any of the further arguments.
fn eq(_: &Context, args: &[Value]) -> Returned {
    let Some((first, rest)) = args.split_first() else {
        return Err(Fault::new("nothing to compare"));
    };
    if rest.is_empty() {
        return Err(Fault::new("there is only one value; a comparison needs two"));
    }
    for other in rest {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(left: &Value, right: &Value) -> Result<bool, Fault> {
    match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Str(a), Value::Str(b)) => Ok(a == b),
        #[expect(clippy::float_cmp, reason = "Go compares exactly, too")]
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Int(..) | Value::Uint(..), Value::Int(..) | Value::Uint(..)) => Ok(integer(left) == integer(right)),
        (Value::Nil, other) | (other, Value::Nil) => Ok(is_nil(other)),
        _ if is_basic(left) || is_basic(right) => Err(incompatible(left, right)),
        // Only the nil ones of these types can be compared.
        (Value::List(_), Value::List(_)) | (Value::Map(_), Value::Map(_)) if is_nil(left) || is_nil(right) => {
            Ok(is_nil(left) == is_nil(right))
        }
        (Value::Pointer(a), Value::Pointer(b)) => Ok(match (&a.target, &b.target) {
            (None, None) => true,
            (Some(a), Some(b)) => std::rc::Rc::ptr_eq(a, b),
            _ => false,
        }),
        _ => Err(Fault::new(format!("values of type {} cannot be compared; use `deepEqual`", right.type_name()))),
    }
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Nil => true,
        Value::List(list) => list.is_nil(),
        Value::Map(map) => map.is_nil(),
        Value::Pointer(pointer) => pointer.target.is_none(),
        _ => false,
    }
}

fn is_basic(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(..) | Value::Uint(..) | Value::Float(_) | Value::Str(_))
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(_, n) => Some(i128::from(*n)),
        Value::Uint(_, n) => Some(i128::from(*n)),
        _ => None,
    }
}

fn incompatible(left: &Value, right: &Value) -> Fault {
    let hint = match (left, right) {
        (Value::Float(_), Value::Int(..)) | (Value::Int(..), Value::Float(_)) => {
            "; numbers of JSON and YAML data are float64: write 1.0, or convert with `int`"
        }
        _ => "",
    };
    Fault::new(format!("a {} cannot be compared with a {}{hint}", left.type_name(), right.type_name()))
}

fn ordered(args: &[Value], holds: fn(Option<Ordering>) -> bool) -> Returned {
    let [left, right] = args else {
        return Err(Fault::new("a comparison needs two values"));
    };
    let order = match (left, right) {
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(..) | Value::Uint(..), Value::Int(..) | Value::Uint(..)) => {
            Some(integer(left).cmp(&integer(right)))
        }
        (Value::Bool(_), Value::Bool(_)) => return Err(Fault::new("bools have no order")),
        _ if is_basic(left) && is_basic(right) => return Err(incompatible(left, right)),
        _ => {
            let odd = if is_basic(left) { right } else { left };
            return Err(Fault::new(format!("a value of type {} has no order", odd.type_name())));
        }
    };
    Ok(Value::Bool(holds(order)))
}
