//! JSON values as Go's `encoding/json` decodes them into an `interface{}`: every number is a float64.

use serde_json::Value as Json;

use super::{GoStr, Map, Value};

/// The value of a JSON document.
pub(crate) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or_default()),
        Json::String(text) => Value::str(text.as_str()),
        Json::Array(items) => Value::list(items.iter().map(from_json).collect()),
        Json::Object(entries) => Value::Map(Map::new(
            entries.iter().map(|(key, value)| (GoStr::from(key.as_str()), from_json(value))).collect(),
        )),
    }
}
