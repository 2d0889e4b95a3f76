//! Sprig's `deepCopy`.

use std::collections::BTreeMap;

use super::{DEPTH_MAX, List, Map, Value};
use crate::exec::{Context, Fault};

/// A copy that shares nothing that can be changed.
pub(crate) fn deep_copy(context: &Context, value: &Value, depth: usize) -> Result<Value, Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::too_deep("copy"));
    }
    context.work(1)?;
    Ok(match value {
        Value::List(list) if list.is_nil() => value.clone(),
        Value::List(list) => {
            let items = list.items().iter().map(|item| deep_copy(context, item, depth + 1));
            Value::List(List::new(list.element(), items.collect::<Result<_, _>>()?))
        }
        Value::Map(map) => {
            let mut entries = BTreeMap::new();
            for (key, item) in map.snapshot() {
                entries.insert(key, deep_copy(context, &item, depth + 1)?);
            }
            Value::Map(Map::typed(map.element(), entries))
        }
        other => other.clone(),
    })
}
