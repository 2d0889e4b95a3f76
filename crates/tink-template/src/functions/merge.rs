//! Merging one map into another, as the Go library that Sprig uses does it.

use crate::exec::{Context, Fault};
use crate::value::{DEPTH_MAX, Map, Value, is_empty};

/// Puts the entries of `from` into `into`. Without `overwrite`, only what is missing or empty there is taken; maps that are
/// on both sides are merged.
pub(super) fn merge_into(
    context: &Context,
    into: &Map,
    from: &Map,
    overwrite: bool,
    depth: usize,
) -> Result<(), Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::too_deep("merge"));
    }
    if into.is_same(from) {
        return Ok(());
    }
    for (key, value) in from.snapshot() {
        context.work(2)?;
        let old = into.get(&key);
        if matches!(value, Value::Nil) {
            if overwrite {
                into.change(context)?.insert(key, value);
            }
            continue;
        }
        if let (Value::Map(from), Some(Value::Map(into))) = (&value, &old) {
            merge_into(context, into, from, overwrite, depth + 1)?;
            if into.len() > 0 {
                continue;
            }
        }
        if overwrite || old.as_ref().is_none_or(is_empty) {
            into.change(context)?.insert(key, value);
        }
    }
    Ok(())
}
