//! Sprig: lists. Most come twice; the `must` form and the other fail alike here, as a panic in Go is an error, too.

use super::args::{any, int, list};
use super::convert::to_int64;
use super::{Function, Param, Returned, fixed, variadic};
use crate::exec::{Context, Fault};
use crate::value::{List, Value, deep_equal, is_empty};

use Param::{Any, Int};

pub(super) const TABLE: &[Function] = &[
    variadic("list", &[Any], |_, args| Ok(Value::list(args.to_vec()))),
    variadic("tuple", &[Any], |_, args| Ok(Value::list(args.to_vec()))),
    fixed("append", &[Any, Any], push),
    fixed("push", &[Any, Any], push),
    fixed("mustAppend", &[Any, Any], push),
    fixed("mustPush", &[Any, Any], push),
    fixed("prepend", &[Any, Any], prepend),
    fixed("mustPrepend", &[Any, Any], prepend),
    fixed("first", &[Any], first),
    fixed("mustFirst", &[Any], first),
    fixed("last", &[Any], last),
    fixed("mustLast", &[Any], last),
    fixed("rest", &[Any], rest),
    fixed("mustRest", &[Any], rest),
    fixed("initial", &[Any], initial),
    fixed("mustInitial", &[Any], initial),
    fixed("reverse", &[Any], reverse),
    fixed("mustReverse", &[Any], reverse),
    fixed("compact", &[Any], compact),
    fixed("mustCompact", &[Any], compact),
    fixed("uniq", &[Any], uniq),
    fixed("mustUniq", &[Any], uniq),
    variadic("without", &[Any, Any], without),
    variadic("mustWithout", &[Any, Any], without),
    fixed("has", &[Any, Any], has),
    fixed("mustHas", &[Any, Any], has),
    variadic("slice", &[Any, Any], slice),
    variadic("mustSlice", &[Any, Any], slice),
    variadic("concat", &[Any], concat),
    fixed("chunk", &[Int, Any], chunk),
    fixed("mustChunk", &[Int, Any], chunk),
];

fn push(context: &Context, args: &[Value]) -> Returned {
    let list = list(args, 0, "append to")?;
    context.produce_items(list.len())?;
    let mut items = list.items().to_vec();
    items.push(any(args, 1)?.clone());
    Ok(Value::list(items))
}

fn prepend(context: &Context, args: &[Value]) -> Returned {
    let list = list(args, 0, "prepend to")?;
    context.produce_items(list.len())?;
    let mut items = vec![any(args, 1)?.clone()];
    items.extend_from_slice(list.items());
    Ok(Value::list(items))
}

fn first(_: &Context, args: &[Value]) -> Returned {
    Ok(list(args, 0, "take the first of")?.items().first().cloned().unwrap_or(Value::Nil))
}

fn last(_: &Context, args: &[Value]) -> Returned {
    Ok(list(args, 0, "take the last of")?.items().last().cloned().unwrap_or(Value::Nil))
}

fn part(items: Option<&[Value]>) -> Value {
    match items {
        Some(items) => Value::list(items.to_vec()),
        None => Value::List(List::nil("interface {}")),
    }
}

fn rest(context: &Context, args: &[Value]) -> Returned {
    let list = list(args, 0, "take the rest of")?;
    context.produce_items(list.len())?;
    Ok(part(list.items().split_first().map(|(_, rest)| rest)))
}

fn initial(context: &Context, args: &[Value]) -> Returned {
    let list = list(args, 0, "take the initial part of")?;
    context.produce_items(list.len())?;
    Ok(part(list.items().split_last().map(|(_, initial)| initial)))
}

fn reverse(context: &Context, args: &[Value]) -> Returned {
    let list = list(args, 0, "reverse")?;
    context.produce_items(list.len())?;
    Ok(Value::list(list.items().iter().rev().cloned().collect()))
}

fn compact(context: &Context, args: &[Value]) -> Returned {
    let list = list(args, 0, "compact")?;
    context.produce_items(list.len())?;
    Ok(Value::list(list.items().iter().filter(|item| !is_empty(item)).cloned().collect()))
}

fn contains(context: &Context, items: &[Value], wanted: &Value) -> Result<bool, Fault> {
    for item in items {
        if deep_equal(context, item, wanted, 0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(context: &Context, args: &[Value]) -> Returned {
    let mut seen = Vec::new();
    for item in list(args, 0, "find the distinct items of")?.items() {
        if !contains(context, &seen, item)? {
            seen.push(item.clone());
        }
    }
    Ok(Value::list(seen))
}

fn without(context: &Context, args: &[Value]) -> Returned {
    let omitted = args.get(1..).unwrap_or_default();
    let mut kept = Vec::new();
    for item in list(args, 0, "leave items out of")?.items() {
        if !contains(context, omitted, item)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn has(context: &Context, args: &[Value]) -> Returned {
    if matches!(any(args, 1)?, Value::Nil) {
        return Ok(Value::Bool(false));
    }
    Ok(Value::Bool(contains(context, list(args, 1, "search in")?.items(), any(args, 0)?)?))
}

fn slice(context: &Context, args: &[Value]) -> Returned {
    let list = list(args, 0, "slice")?;
    context.produce_items(list.len())?;
    if list.len() == 0 {
        return Ok(Value::Nil);
    }
    let start = args.get(1).map_or(0, to_int64);
    let end = args.get(2).map_or(i64::try_from(list.len()).unwrap_or(i64::MAX), to_int64);
    let items = match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) => list.items().get(start..end),
        _ => None,
    };
    match items {
        Some(items) => Ok(Value::List(List::new(list.element(), items.to_vec()))),
        None => Err(Fault::new(format!("the range {start}:{end} is outside of a list of {} items", list.len()))),
    }
}

fn concat(context: &Context, args: &[Value]) -> Returned {
    let mut items = Vec::new();
    for i in 0..args.len() {
        let list = list(args, i, "concatenate")?;
        context.produce_items(list.len())?;
        items.extend_from_slice(list.items());
    }
    Ok(if items.is_empty() { Value::List(List::nil("interface {}")) } else { Value::list(items) })
}

fn chunk(context: &Context, args: &[Value]) -> Returned {
    let list = list(args, 1, "chunk")?;
    context.produce_items(list.len())?;
    let size = usize::try_from(int(args, 0)?).ok().filter(|size| *size > 0);
    let size = size.ok_or_else(|| Fault::new("the size of a chunk must be at least 1"))?;
    let chunks = list.items().chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect();
    Ok(Value::List(List::new("[]interface {}", chunks)))
}
