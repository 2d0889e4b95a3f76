//! Go's `reflect.DeepEqual`.

use std::rc::Rc;

use super::{DEPTH_MAX, Value};
use crate::exec::{Context, Fault};

/// Whether both values have the same type and the same content, all the way down.
pub(crate) fn deep_equal(context: &Context, left: &Value, right: &Value, depth: usize) -> Result<bool, Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::too_deep("compare"));
    }
    context.work(1)?;
    Ok(match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(t, a), Value::Int(u, b)) => t == u && a == b,
        (Value::Uint(t, a), Value::Uint(u, b)) => t == u && a == b,
        #[expect(clippy::float_cmp, reason = "Go compares exactly, too")]
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            if a.element() != b.element() || a.is_nil() != b.is_nil() {
                return Ok(false);
            }
            all_equal(context, a.items(), b.items(), depth)?
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.element() != b.element() || a.is_nil() != b.is_nil() || a.len() != b.len() {
                return Ok(false);
            }
            if a.is_same(b) {
                return Ok(true);
            }
            let (a, b) = (a.snapshot(), b.snapshot());
            for (key, value) in &a {
                match b.get(key) {
                    Some(other) if deep_equal(context, value, other, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Struct(a), Value::Struct(b)) => {
            std::ptr::eq(a.kind, b.kind) && all_equal(context, &a.values, &b.values, depth)?
        }
        (Value::Pointer(a), Value::Pointer(b)) if a.target_type == b.target_type => match (&a.target, &b.target) {
            (None, None) => true,
            (Some(a), Some(b)) => deep_equal(context, a, b, depth + 1)?,
            _ => false,
        },
        (Value::Object(a), Value::Object(b)) => {
            Rc::ptr_eq(a, b) || (a.type_name() == b.type_name() && a.text() == b.text())
        }
        _ => false,
    })
}

fn all_equal(context: &Context, left: &[Value], right: &[Value], depth: usize) -> Result<bool, Fault> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (a, b) in left.iter().zip(right) {
        if !deep_equal(context, a, b, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}
