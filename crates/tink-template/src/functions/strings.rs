//! Sprig: strings, cut, trimmed, joined and searched. Lengths and offsets are bytes, as in Go.

use std::collections::BTreeMap;

use super::args::{any, bytes, int, made, strings, text};
use super::{Function, Param, Returned, fixed, variadic};
use crate::exec::{Context, Fault};
use crate::value::{GoStr, Map, Value, quote as go_quote, to_text};

use Param::{Any, Int, Str};

pub(super) const TABLE: &[Function] = &[
    fixed("hello", &[], |_, _| Ok(Value::str("Hello!"))),
    fixed("trim", &[Str], |context, args| made(context, text(args, 0)?.trim())),
    fixed("trimall", &[Str, Str], trim_all),
    fixed("trimAll", &[Str, Str], trim_all),
    fixed("trimSuffix", &[Str, Str], |context, args| {
        let (suffix, all) = (bytes(args, 0)?, bytes(args, 1)?);
        made(context, all.strip_suffix(suffix).unwrap_or(all))
    }),
    fixed("trimPrefix", &[Str, Str], |context, args| {
        let (prefix, all) = (bytes(args, 0)?, bytes(args, 1)?);
        made(context, all.strip_prefix(prefix).unwrap_or(all))
    }),
    fixed("trunc", &[Int, Str], trunc),
    fixed("substr", &[Int, Int, Str], substr),
    fixed("repeat", &[Int, Str], repeat),
    fixed("contains", &[Str, Str], |_, args| Ok(Value::Bool(text(args, 1)?.contains(text(args, 0)?.as_ref())))),
    fixed("hasPrefix", &[Str, Str], |_, args| Ok(Value::Bool(bytes(args, 1)?.starts_with(bytes(args, 0)?)))),
    fixed("hasSuffix", &[Str, Str], |_, args| Ok(Value::Bool(bytes(args, 1)?.ends_with(bytes(args, 0)?)))),
    variadic("quote", &[Any], quote),
    variadic("squote", &[Any], squote),
    variadic("cat", &[Any], cat),
    fixed("indent", &[Int, Str], |context, args| made(context, indented(context, args)?)),
    fixed("nindent", &[Int, Str], |context, args| {
        let mut out = b"\n".to_vec();
        out.append(&mut indented(context, args)?);
        made(context, out)
    }),
    fixed("replace", &[Str, Str, Str], replace),
    fixed("plural", &[Str, Str, Int], |_, args| Ok(any(args, usize::from(int(args, 2)? != 1))?.clone())),
    fixed("toString", &[Any], |context, args| Ok(Value::Str(to_text(context, any(args, 0)?)?))),
    fixed("toStrings", &[Any], |context, args| Ok(Value::strings(strings(context, any(args, 0)?)?))),
    fixed("join", &[Str, Any], join),
    fixed("sortAlpha", &[Any], sort_alpha),
    fixed("split", &[Str, Str], |context, args| split_map(context, &text(args, 0)?, -1, &text(args, 1)?)),
    fixed("splitn", &[Str, Int, Str], |context, args| {
        split_map(context, &text(args, 0)?, int(args, 1)?, &text(args, 2)?)
    }),
    fixed("splitList", &[Str, Str], |context, args| {
        Ok(Value::strings(split(context, &text(args, 1)?, &text(args, 0)?, -1)?))
    }),
];

fn trim_all(context: &Context, args: &[Value]) -> Returned {
    let cutset = text(args, 0)?;
    made(context, text(args, 1)?.trim_matches(|c| cutset.contains(c)))
}

/// A signed count as an offset.
fn offset(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn trunc(context: &Context, args: &[Value]) -> Returned {
    let (count, all) = (int(args, 0)?, bytes(args, 1)?);
    let size = offset(i64::try_from(count.unsigned_abs()).unwrap_or(i64::MAX));
    let cut = if count < 0 { all.get(all.len().saturating_sub(size)..) } else { all.get(..size.min(all.len())) };
    made(context, cut.unwrap_or(all))
}

fn substr(context: &Context, args: &[Value]) -> Returned {
    let (start, end, all) = (int(args, 0)?, int(args, 1)?, bytes(args, 2)?);
    let len = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let range = if start < 0 {
        (0, end)
    } else if end < 0 || end > len {
        (start, len)
    } else {
        (start, end)
    };
    let cut = match (usize::try_from(range.0), usize::try_from(range.1)) {
        (Ok(start), Ok(end)) => all.get(start..end),
        _ => None,
    };
    match cut {
        Some(cut) => made(context, cut),
        None => Err(Fault::new(format!("the range {}:{} is outside of a string of {len} bytes", range.0, range.1))),
    }
}

fn repeat(context: &Context, args: &[Value]) -> Returned {
    let (count, all) = (int(args, 0)?, bytes(args, 1)?);
    let count = usize::try_from(count).map_err(|_| Fault::new(format!("the count is negative: {count}")))?;
    context.produce(count.saturating_mul(all.len()))?;
    Ok(Value::str(if all.is_empty() { Vec::new() } else { all.repeat(count) }))
}

fn quote(context: &Context, args: &[Value]) -> Returned {
    let quoted = args
        .iter()
        .filter(|arg| !matches!(arg, Value::Nil))
        .map(|arg| Ok(go_quote(to_text(context, arg)?.as_bytes(), false)))
        .collect::<Result<Vec<_>, Fault>>()?;
    made(context, quoted.join(" "))
}

fn squote(context: &Context, args: &[Value]) -> Returned {
    let mut out = Vec::new();
    for arg in args.iter().filter(|arg| !matches!(arg, Value::Nil)) {
        out.extend_from_slice(if out.is_empty() { b"'" } else { b" '" });
        out.extend_from_slice(to_text(context, arg)?.as_bytes());
        out.push(b'\'');
    }
    made(context, out)
}

fn cat(context: &Context, args: &[Value]) -> Returned {
    let parts = args.iter().filter(|arg| !matches!(arg, Value::Nil)).map(|arg| to_text(context, arg));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    made(context, joined(&parts, b" "))
}

fn joined(parts: &[GoStr], separator: &[u8]) -> Vec<u8> {
    parts.iter().map(GoStr::as_bytes).collect::<Vec<_>>().join(separator)
}

fn indented(context: &Context, args: &[Value]) -> Result<Vec<u8>, Fault> {
    let (spaces, all) = (int(args, 0)?, bytes(args, 1)?);
    let spaces = usize::try_from(spaces).map_err(|_| Fault::new(format!("the indentation is negative: {spaces}")))?;
    let lines = 1 + all.iter().filter(|byte| **byte == b'\n').count();
    context.produce(spaces.saturating_mul(lines).saturating_add(all.len()))?;
    let pad = vec![b' '; spaces];
    let mut out = pad.clone();
    for byte in all {
        out.push(*byte);
        if *byte == b'\n' {
            out.extend_from_slice(&pad);
        }
    }
    Ok(out)
}

fn replace(context: &Context, args: &[Value]) -> Returned {
    let (old, new, all) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let growth = if old.is_empty() { all.len() + 1 } else { all.len() / old.len() };
    context.produce(growth.saturating_mul(new.len()).saturating_add(all.len()))?;
    Ok(Value::str(all.replace(old.as_ref(), &new)))
}

fn join(context: &Context, args: &[Value]) -> Returned {
    let parts = strings(context, any(args, 1)?)?;
    let separator = bytes(args, 0)?;
    let size = parts.iter().map(GoStr::len).sum::<usize>();
    context.produce(size.saturating_add(separator.len().saturating_mul(parts.len())))?;
    Ok(Value::str(joined(&parts, separator)))
}

fn sort_alpha(context: &Context, args: &[Value]) -> Returned {
    let mut items = match any(args, 0)? {
        value @ Value::List(_) => strings(context, value)?,
        other => vec![to_text(context, other)?],
    };
    items.sort();
    Ok(Value::strings(items))
}

/// Go's `strings.SplitN`; an empty separator splits between characters.
fn split(context: &Context, all: &str, separator: &str, count: i64) -> Result<Vec<String>, Fault> {
    let most = match count {
        0 => return Ok(Vec::new()),
        n => usize::try_from(n).unwrap_or(usize::MAX),
    };
    if separator.is_empty() {
        context.produce_items(all.len())?;
        let mut parts: Vec<String> = all.chars().take(most).map(String::from).collect();
        let used: usize = parts.iter().map(String::len).sum();
        if let (Some(last), Some(rest)) = (parts.last_mut(), all.get(used..)) {
            last.push_str(rest);
        }
        return Ok(parts);
    }
    let parts: Vec<String> = all.splitn(most, separator).map(str::to_owned).collect();
    context.produce_items(parts.len())?;
    Ok(parts)
}

/// The parts as a map from `_0`, `_1`, ...
fn split_map(context: &Context, separator: &str, count: i64, all: &str) -> Returned {
    let parts = split(context, all, separator, count)?;
    let entries: BTreeMap<GoStr, Value> =
        parts.into_iter().enumerate().map(|(i, part)| (GoStr::from(format!("_{i}")), Value::str(part))).collect();
    Ok(Value::Map(Map::typed("string", entries)))
}
