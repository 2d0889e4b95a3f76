//! Sprig: defaults, JSON, and choosing between values.

use super::args::{any, bool, bytes, made, text};
use super::{Function, Param, Returned, fixed, variadic};
use crate::exec::{Context, Fault};
use crate::value::{JsonStyle, Value, deep_equal, from_json_text, is_empty, to_json};

use Param::{Any, Bool, Str};

pub(super) const TABLE: &[Function] = &[
    variadic("default", &[Any, Any], |_, args| {
        let given = args.get(1).filter(|given| !is_empty(given));
        Ok(given.or(args.first()).cloned().unwrap_or(Value::Nil))
    }),
    fixed("empty", &[Any], |_, args| Ok(Value::Bool(is_empty(any(args, 0)?)))),
    variadic("coalesce", &[Any], |_, args| Ok(args.iter().find(|arg| !is_empty(arg)).cloned().unwrap_or(Value::Nil))),
    variadic("all", &[Any], |_, args| Ok(Value::Bool(!args.iter().any(is_empty)))),
    variadic("any", &[Any], |_, args| Ok(Value::Bool(args.iter().any(|arg| !is_empty(arg))))),
    fixed("ternary", &[Any, Any, Bool], |_, args| Ok(any(args, usize::from(!bool(args, 2)?))?.clone())),
    fixed("fromJson", &[Str], |_, args| Ok(from_json_text(bytes(args, 0)?).unwrap_or(Value::Nil))),
    fixed("mustFromJson", &[Str], |_, args| from_json_text(bytes(args, 0)?)),
    fixed("toJson", &[Any], |context, args| lenient(json(context, args, JsonStyle::Compact))),
    fixed("mustToJson", &[Any], |context, args| json(context, args, JsonStyle::Compact)),
    fixed("toPrettyJson", &[Any], |context, args| lenient(json(context, args, JsonStyle::Pretty))),
    fixed("mustToPrettyJson", &[Any], |context, args| json(context, args, JsonStyle::Pretty)),
    fixed("toRawJson", &[Any], |context, args| json(context, args, JsonStyle::Raw)),
    fixed("mustToRawJson", &[Any], |context, args| json(context, args, JsonStyle::Raw)),
    fixed("deepEqual", &[Any, Any], |context, args| {
        Ok(Value::Bool(deep_equal(context, any(args, 0)?, any(args, 1)?, 0)?))
    }),
    fixed("typeOf", &[Any], |_, args| Ok(Value::str(any(args, 0)?.type_name()))),
    fixed("typeIs", &[Str, Any], |_, args| Ok(Value::Bool(text(args, 0)? == any(args, 1)?.type_name()))),
    fixed("typeIsLike", &[Str, Any], |_, args| {
        let (name, wanted) = (any(args, 1)?.type_name(), text(args, 0)?);
        Ok(Value::Bool(name == wanted || name.strip_prefix('*') == Some(wanted.as_ref())))
    }),
    fixed("kindOf", &[Any], |_, args| Ok(Value::str(any(args, 0)?.kind_name()))),
    fixed("kindIs", &[Str, Any], |_, args| Ok(Value::Bool(text(args, 0)? == any(args, 1)?.kind_name()))),
    fixed("fail", &[Str], |_, args| Err(Fault::new(text(args, 0)?.into_owned()))),
];

fn json(context: &Context, args: &[Value], style: JsonStyle) -> Returned {
    made(context, to_json(context, any(args, 0)?, style)?)
}

/// What cannot be JSON is the empty string; bounds are not swallowed.
fn lenient(result: Returned) -> Returned {
    match result {
        Err(fault) if !fault.is_limit => Ok(Value::str("")),
        other => other,
    }
}
