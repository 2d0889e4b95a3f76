//! Go's built-in functions besides the comparisons.

use super::{Function, Param, Returned, fixed, variadic};
use crate::exec::{Context, Fault};
use crate::value::{GoStr, UintType, Value, is_print, is_true, printable, sprint, sprintf, sprintln};

use Param::{Any, Str};

pub(super) const TABLE: &[Function] = &[
    variadic("and", &[Any, Any], last),
    variadic("or", &[Any, Any], last),
    fixed("not", &[Any], not),
    variadic("call", &[Any, Any], call),
    variadic("html", &[Any], html),
    variadic("js", &[Any], js),
    variadic("urlquery", &[Any], urlquery),
    variadic("index", &[Any, Any], index),
    fixed("len", &[Any], len),
    variadic("print", &[Any], |context, args| Ok(Value::Str(sprint(context, args)?))),
    variadic("println", &[Any], |context, args| Ok(Value::Str(sprintln(context, args)?))),
    variadic("printf", &[Str, Any], printf),
];

/// `and` and `or` are carried out where arguments are evaluated, as they stop early.
fn last(_: &Context, args: &[Value]) -> Returned {
    Ok(args.last().cloned().unwrap_or(Value::Nil))
}

fn not(_: &Context, args: &[Value]) -> Returned {
    Ok(Value::Bool(!args.first().is_some_and(is_true)))
}

fn call(_: &Context, args: &[Value]) -> Returned {
    match args.first() {
        None | Some(Value::Nil) => Err(Fault::new("call of nil")),
        Some(value) => Err(Fault::new(format!("a {} is not a function", value.type_name()))),
    }
}

fn printf(context: &Context, args: &[Value]) -> Returned {
    match args.split_first() {
        Some((Value::Str(format), rest)) => Ok(Value::Str(sprintf(context, &format.to_str_lossy(), rest)?)),
        _ => Err(Fault::new("the format must be a string")),
    }
}

fn len(_: &Context, args: &[Value]) -> Returned {
    let value = args.first().unwrap_or(&Value::Nil).indirect();
    match &value {
        Value::Str(text) => Ok(Value::int(text.len())),
        Value::List(list) => Ok(Value::int(list.len())),
        Value::Map(map) => Ok(Value::int(map.len())),
        Value::Nil => Err(Fault::new("nil has no length")),
        other => Err(Fault::new(format!("a {} has no length", other.type_name()))),
    }
}

fn index(_: &Context, args: &[Value]) -> Returned {
    let Some((item, keys)) = args.split_first() else {
        return Err(Fault::new("nothing to index"));
    };
    if matches!(item, Value::Nil) {
        return Err(Fault::new("nil cannot be indexed"));
    }
    let mut item = item.clone();
    for key in keys {
        item = index_one(&item.indirect(), key)?;
    }
    Ok(item)
}

fn index_one(item: &Value, key: &Value) -> Returned {
    match (item, key) {
        (Value::List(list), key) => {
            let at = index_of(key, list.len())?;
            list.items().get(at).cloned().ok_or_else(|| out_of_range(at, list.len()))
        }
        (Value::Str(text), key) => {
            let at = index_of(key, text.len())?;
            let byte = text.as_bytes().get(at).ok_or_else(|| out_of_range(at, text.len()))?;
            Ok(Value::Uint(UintType::Uint8, u64::from(*byte)))
        }
        (Value::Map(map), Value::Str(key)) => Ok(map.get(key).unwrap_or_else(|| zero(map.element()))),
        (Value::Map(_), key) => {
            Err(Fault::new(format!("the keys of this map are strings, not of type {}", key.type_name())))
        }
        (Value::Nil, _) => Err(Fault::new("nil cannot be indexed")),
        (other, _) => Err(Fault::new(format!("a {} cannot be indexed", other.type_name()))),
    }
}

/// The zero value of a map's element type.
fn zero(element: &str) -> Value {
    if element == "string" { Value::str("") } else { Value::Nil }
}

fn out_of_range(at: usize, len: usize) -> Fault {
    Fault::new(format!("index {at} is out of range; there are {len} items"))
}

fn index_of(key: &Value, len: usize) -> Result<usize, Fault> {
    match key {
        Value::Int(_, at) => {
            usize::try_from(*at).map_err(|_| Fault::new(format!("index {at} is out of range; there are {len} items")))
        }
        Value::Uint(_, at) => Ok(usize::try_from(*at).unwrap_or(usize::MAX)),
        other => Err(Fault::new(format!("the index must be an integer, but is of type {}", other.type_name()))),
    }
}

/// The arguments of an escaper as one text: nothing shows as `<no value>`.
fn joined(context: &Context, args: &[Value]) -> Result<GoStr, Fault> {
    if let [one] = args {
        return printable(context, one);
    }
    let shown: Vec<Value> = args
        .iter()
        .map(|arg| match arg {
            Value::Nil => Value::str("<no value>"),
            other => other.indirect(),
        })
        .collect();
    sprint(context, &shown)
}

fn html(context: &Context, args: &[Value]) -> Returned {
    let text = joined(context, args)?;
    let mut out = Vec::with_capacity(text.len());
    for byte in text.as_bytes() {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            other => out.push(*other),
        }
    }
    context.produce(out.len())?;
    Ok(Value::str(out))
}

fn js(context: &Context, args: &[Value]) -> Returned {
    let text = joined(context, args)?;
    let mut out = String::with_capacity(text.len());
    for c in text.to_str_lossy().chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || is_print(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    context.produce(out.len())?;
    Ok(Value::str(out))
}

fn urlquery(context: &Context, args: &[Value]) -> Returned {
    let text = joined(context, args)?;
    let mut out = String::with_capacity(text.len());
    for byte in text.as_bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') => out.push(char::from(*b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    context.produce(out.len())?;
    Ok(Value::str(out))
}
