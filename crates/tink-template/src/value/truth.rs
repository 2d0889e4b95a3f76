//! Truth (text/template) and emptiness (Sprig), which are not the same for nil pointers inside structs.

use super::Value;

/// Whether `if` takes the value for true.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Nil => false,
        Value::Bool(b) => *b,
        Value::Int(_, n) => *n != 0,
        Value::Uint(_, n) => *n != 0,
        Value::Float(f) => *f != 0.0,
        Value::Str(s) => !s.is_empty(),
        Value::List(list) => list.len() > 0,
        Value::Map(map) => map.len() > 0,
        Value::Struct(_) | Value::Object(_) => true,
        Value::Pointer(pointer) => pointer.target.is_some(),
    }
}

/// Whether Sprig's `empty` and `default` take the value for unset.
pub(crate) fn is_empty(value: &Value) -> bool {
    !is_true(value)
}
