//! Taking arguments out: they have been checked against the signature, so that what is missing here is our own mistake.

use std::borrow::Cow;

use crate::exec::{Context, Fault};
use crate::value::{GoStr, List, Map, Value, to_text};

fn missing(i: usize) -> Fault {
    Fault::new(format!("argument {} is missing", i + 1))
}

pub(super) fn any(args: &[Value], i: usize) -> Result<&Value, Fault> {
    args.get(i).ok_or_else(|| missing(i))
}

pub(super) fn bytes(args: &[Value], i: usize) -> Result<&[u8], Fault> {
    match args.get(i) {
        Some(Value::Str(text)) => Ok(text.as_bytes()),
        _ => Err(missing(i)),
    }
}

pub(super) fn text(args: &[Value], i: usize) -> Result<Cow<'_, str>, Fault> {
    bytes(args, i).map(String::from_utf8_lossy)
}

pub(super) fn key(args: &[Value], i: usize) -> Result<&GoStr, Fault> {
    match args.get(i) {
        Some(Value::Str(text)) => Ok(text),
        _ => Err(missing(i)),
    }
}

pub(super) fn int(args: &[Value], i: usize) -> Result<i64, Fault> {
    match args.get(i) {
        Some(Value::Int(_, n)) => Ok(*n),
        Some(Value::Uint(_, n)) => Ok(i64::try_from(*n).unwrap_or(i64::MAX)),
        _ => Err(missing(i)),
    }
}

pub(super) fn float(args: &[Value], i: usize) -> Result<f64, Fault> {
    match args.get(i) {
        Some(Value::Float(n)) => Ok(*n),
        _ => Err(missing(i)),
    }
}

pub(super) fn bool(args: &[Value], i: usize) -> Result<bool, Fault> {
    match args.get(i) {
        Some(Value::Bool(b)) => Ok(*b),
        _ => Err(missing(i)),
    }
}

pub(super) fn map(args: &[Value], i: usize) -> Result<&Map, Fault> {
    match args.get(i) {
        Some(Value::Map(map)) => Ok(map),
        _ => Err(missing(i)),
    }
}

/// The list in an argument of any type; everything else is an error, as for Sprig's list functions.
pub(super) fn list<'a>(args: &'a [Value], i: usize, verb: &str) -> Result<&'a List, Fault> {
    match args.get(i) {
        Some(Value::List(list)) => Ok(list),
        Some(Value::Nil) => Err(Fault::new(format!("cannot {verb} nil; it takes a list"))),
        Some(other) => Err(Fault::new(format!("cannot {verb} a {}; it takes a list", other.type_name()))),
        None => Err(missing(i)),
    }
}

/// Sprig's way to make strings of anything: lists item by item without the nil ones, nil as nothing.
pub(super) fn strings(context: &Context, value: &Value) -> Result<Vec<GoStr>, Fault> {
    match value {
        Value::List(list) => {
            list.items().iter().filter(|item| !matches!(item, Value::Nil)).map(|item| to_text(context, item)).collect()
        }
        Value::Nil => Ok(Vec::new()),
        other => Ok(vec![to_text(context, other)?]),
    }
}

/// Text as a result, its size taken from the budget.
pub(super) fn made(context: &Context, text: impl Into<GoStr>) -> Result<Value, Fault> {
    let text = text.into();
    context.produce(text.len())?;
    Ok(Value::Str(text))
}
