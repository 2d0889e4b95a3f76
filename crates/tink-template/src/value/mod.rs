//! Values as the template sees them: Go's, with the types that templates can tell apart.
//!
//! Maps are shared and can be changed (`set`), as in Go; everything else is immutable. Values live for one rendering.

mod composite;
mod copy;
mod equal;
mod format;
mod from_json;
mod gostr;
mod layout;
mod number;
mod to_json;
mod truth;

pub(crate) use composite::{Field, List, Map, Object, Pointer, Struct, StructType};
pub(crate) use copy::deep_copy;
pub(crate) use equal::deep_equal;
pub(crate) use format::{is_print, printable, quote, sprint, sprintf, sprintln, to_text};
pub(crate) use from_json::from_json;
pub(crate) use gostr::GoStr;
pub(crate) use layout::DEPTH_MAX;
pub(crate) use number::{format_float, shortest};
pub(crate) use to_json::{JsonStyle, from_json_text, to_json, to_serde};
pub(crate) use truth::{is_empty, is_true};

use std::rc::Rc;

/// Go's signed integer types that occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntType {
    Int,
    Int64,
}

/// Go's unsigned integer types that occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UintType {
    /// A byte of a string.
    Uint8,
    Uint64,
}

/// A value.
#[derive(Clone)]
pub(crate) enum Value {
    /// No value at all, or a nil interface.
    Nil,
    Bool(bool),
    Int(IntType, i64),
    Uint(UintType, u64),
    Float(f64),
    Str(GoStr),
    List(List),
    Map(Map),
    Struct(Rc<Struct>),
    Pointer(Pointer),
    /// A value with methods: a version, a time.
    Object(Rc<dyn Object>),
}

impl Value {
    pub(crate) fn int(value: usize) -> Self {
        Self::Int(IntType::Int, i64::try_from(value).unwrap_or(i64::MAX))
    }

    pub(crate) fn int64(value: i64) -> Self {
        Self::Int(IntType::Int64, value)
    }

    pub(crate) fn str(value: impl Into<GoStr>) -> Self {
        Self::Str(value.into())
    }

    /// A `[]interface {}`.
    pub(crate) fn list(items: Vec<Value>) -> Self {
        Self::List(List::new("interface {}", items))
    }

    /// A `[]string`.
    pub(crate) fn strings<S: Into<GoStr>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::List(List::new("string", items.into_iter().map(Value::str).collect()))
    }

    /// The name of the Go type, as `%T` prints it.
    pub(crate) fn type_name(&self) -> String {
        match self {
            Self::Nil => "<nil>".to_owned(),
            Self::Bool(_) => "bool".to_owned(),
            Self::Int(IntType::Int, _) => "int".to_owned(),
            Self::Int(IntType::Int64, _) => "int64".to_owned(),
            Self::Uint(UintType::Uint8, _) => "uint8".to_owned(),
            Self::Uint(UintType::Uint64, _) => "uint64".to_owned(),
            Self::Float(_) => "float64".to_owned(),
            Self::Str(_) => "string".to_owned(),
            Self::List(list) => format!("[]{}", list.element()),
            Self::Map(map) => format!("map[string]{}", map.element()),
            Self::Struct(value) => value.kind.name.to_owned(),
            Self::Pointer(pointer) => format!("*{}", pointer.target_type),
            Self::Object(object) => object.type_name().to_owned(),
        }
    }

    /// The name of the Go kind.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(IntType::Int, _) => "int",
            Self::Int(IntType::Int64, _) => "int64",
            Self::Uint(UintType::Uint8, _) => "uint8",
            Self::Uint(UintType::Uint64, _) => "uint64",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Struct(_) => "struct",
            Self::Pointer(_) => "ptr",
            Self::Object(object) => object.kind_name(),
        }
    }

    /// What a pointer points to; other values as they are. A nil pointer gives `Nil`.
    pub(crate) fn indirect(&self) -> Value {
        match self {
            Self::Pointer(pointer) => pointer.target.as_deref().cloned().unwrap_or(Value::Nil),
            other => other.clone(),
        }
    }
}
