//! Sprig: regular expressions. Patterns are Go's RE2; they are rewritten where Rust's crate reads them differently.

use regex::{Regex, RegexBuilder};

use super::args::{int, made, text};
use super::re2::as_rust;
use super::{Function, Param, Returned, fixed};
use crate::exec::{Context, Fault};
use crate::value::{List, Value};

use Param::{Int, Str};

pub(super) const TABLE: &[Function] = &[
    fixed("regexMatch", &[Str, Str], |context, args| match is_match(context, args) {
        Err(fault) if !fault.is_limit => Ok(Value::Bool(false)),
        other => other,
    }),
    fixed("mustRegexMatch", &[Str, Str], is_match),
    fixed("regexFind", &[Str, Str], find),
    fixed("mustRegexFind", &[Str, Str], find),
    fixed("regexFindAll", &[Str, Str, Int], find_all),
    fixed("mustRegexFindAll", &[Str, Str, Int], find_all),
    fixed("regexReplaceAll", &[Str, Str, Str], |context, args| replace_all(context, args, true)),
    fixed("mustRegexReplaceAll", &[Str, Str, Str], |context, args| replace_all(context, args, true)),
    fixed("regexReplaceAllLiteral", &[Str, Str, Str], |context, args| replace_all(context, args, false)),
    fixed("mustRegexReplaceAllLiteral", &[Str, Str, Str], |context, args| replace_all(context, args, false)),
    fixed("regexSplit", &[Str, Str, Int], split),
    fixed("mustRegexSplit", &[Str, Str, Int], split),
    fixed("regexQuoteMeta", &[Str], |context, args| {
        let mut out = String::new();
        for c in text(args, 0)?.chars() {
            if "\\.+*?()|[]{}^$".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        made(context, out)
    }),
];

fn compile(context: &Context, args: &[Value]) -> Result<Regex, Fault> {
    let (pattern, haystack) = (text(args, 0)?, text(args, 1)?);
    let cost = 500 + pattern.len() * 4 + haystack.len() / 4 * (1 + pattern.len() / 16);
    context.work(u64::try_from(cost).unwrap_or(u64::MAX))?;
    let translated = as_rust(&pattern).map_err(|reason| invalid(&pattern, reason))?;
    RegexBuilder::new(&translated).size_limit(1 << 20).dfa_size_limit(1 << 20).nest_limit(100).build().map_err(
        |fault| {
            let reason = match fault {
                regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
            };
            invalid(&pattern, &reason)
        },
    )
}

fn invalid(pattern: &str, reason: &str) -> Fault {
    Fault::new(format!("the regular expression {pattern:?} is not valid: {reason}"))
}

fn is_match(context: &Context, args: &[Value]) -> Returned {
    Ok(Value::Bool(compile(context, args)?.is_match(&text(args, 1)?)))
}

fn find(context: &Context, args: &[Value]) -> Returned {
    let all = text(args, 1)?;
    made(context, compile(context, args)?.find(&all).map_or("", |found| found.as_str()))
}

fn find_all(context: &Context, args: &[Value]) -> Returned {
    let all = text(args, 1)?;
    let most = usize::try_from(int(args, 2)?).unwrap_or(usize::MAX);
    context.produce_items(all.len() / 4)?;
    let found: Vec<&str> = compile(context, args)?.find_iter(&all).take(most).map(|found| found.as_str()).collect();
    Ok(if found.is_empty() { Value::List(List::nil("string")) } else { Value::strings(found) })
}

fn replace_all(context: &Context, args: &[Value], expand: bool) -> Returned {
    let (all, replacement) = (text(args, 1)?, text(args, 2)?);
    let regex = compile(context, args)?;
    let mut out = String::new();
    let mut at = 0;
    for captures in regex.captures_iter(&all) {
        let Some(found) = captures.get(0) else { continue };
        out.push_str(all.get(at..found.start()).unwrap_or_default());
        if expand {
            captures.expand(&replacement, &mut out);
        } else {
            out.push_str(&replacement);
        }
        at = found.end();
        context.work(1)?;
        if out.len() > 4 * 1024 * 1024 {
            context.produce(out.len())?;
        }
    }
    out.push_str(all.get(at..).unwrap_or_default());
    made(context, out)
}

fn split(context: &Context, args: &[Value]) -> Returned {
    let (pattern, all, count) = (text(args, 0)?, text(args, 1)?, int(args, 2)?);
    let regex = compile(context, args)?;
    if count == 0 {
        return Ok(Value::List(List::nil("string")));
    }
    if !pattern.is_empty() && all.is_empty() {
        return Ok(Value::strings([""]));
    }
    context.produce_items(all.len() / 4)?;
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let (mut parts, mut begin, mut end) = (Vec::new(), 0, 0);
    for found in regex.find_iter(&all).take(most) {
        if parts.len() == most - 1 {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(all.get(begin..end).unwrap_or_default());
        }
        begin = found.end();
    }
    if end != all.len() {
        parts.push(all.get(begin..).unwrap_or_default());
    }
    Ok(Value::strings(parts))
}
