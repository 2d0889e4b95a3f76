//! The functions: Go's built-in ones, Sprig's hermetic ones and Tinkerbell's own, one file a family.

mod args;
mod builtins;
mod case;
mod certificates;
mod ciphers;
mod compare;
mod constraint;
mod convert;
mod dates;
mod decimal;
mod defaults;
mod der;
mod dicts;
mod durations;
mod encoding;
mod keys;
mod lists;
mod math;
mod merge;
mod naming;
mod paths;
mod primes;
mod random;
mod re2;
mod regex;
mod strings;
mod timelayout;
mod times;
mod tinkerbell;
mod urls;
mod versions;

use crate::exec::{Context, Fault};
use crate::value::{IntType, UintType, Value};

/// A parameter's type, as Go's signature has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    /// `interface {}`
    Any,
    /// `string`
    Str,
    /// `int`
    Int,
    /// `uint32`
    Uint32,
    /// `float64`
    Float,
    /// `bool`
    Bool,
    /// `map[string]interface {}`
    Map,
    /// `[]interface {}`
    List,
    /// `time.Time`
    Time,
    /// A certificate with its key, as `genCA` gives it.
    Certificate,
    /// `*semver.Version`
    Version,
}

impl Param {
    /// Whether the value is of this type without a conversion.
    pub(crate) fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _)
            | (Self::Str, Value::Str(_))
            | (Self::Int, Value::Int(IntType::Int, _))
            | (Self::Uint32, Value::Uint(UintType::Uint64, _))
            | (Self::Float, Value::Float(_))
            | (Self::Bool, Value::Bool(_)) => true,
            (Self::Map, Value::Map(map)) => map.element() == "interface {}",
            (Self::List, Value::List(list)) => list.element() == "interface {}",
            (Self::Time, Value::Object(object)) => object.type_name() == "time.Time",
            (Self::Version, Value::Object(object)) => object.type_name() == "*semver.Version",
            (Self::Certificate, Value::Struct(value)) => value.kind.name == "sprig.certificate",
            _ => false,
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint32 | Self::Float)
    }

    /// The type, for messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Str => "a string",
            Self::Int => "an int",
            Self::Uint32 => "a uint32",
            Self::Float => "a float64",
            Self::Bool => "a bool",
            Self::Map => "a map (map[string]interface {})",
            Self::List => "a list ([]interface {})",
            Self::Time => "a time (time.Time)",
            Self::Certificate => "a certificate (such as `genCA` gives)",
            Self::Version => "a version (such as `semver` gives)",
        }
    }
}

/// A function of the template language.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// The types of the parameters; with `variadic`, the last stands for any number of arguments.
    pub(crate) params: &'static [Param],
    pub(crate) variadic: bool,
    /// Gets arguments that have been checked against `params`.
    pub(crate) body: fn(&Context, &[Value]) -> Returned,
}

/// What a function gives.
pub(crate) type Returned = Result<Value, Fault>;

impl Function {
    /// The type of the i-th argument.
    pub(crate) fn param(&self, i: usize) -> Param {
        self.params.get(i).or(self.params.last()).copied().unwrap_or(Param::Any)
    }
}

/// A function with a fixed number of parameters.
const fn fixed(name: &'static str, params: &'static [Param], body: fn(&Context, &[Value]) -> Returned) -> Function {
    Function { name, params, variadic: false, body }
}

/// A function whose last parameter takes any number of arguments.
const fn variadic(name: &'static str, params: &'static [Param], body: fn(&Context, &[Value]) -> Returned) -> Function {
    Function { name, params, variadic: true, body }
}

/// The families. A later one replaces functions of an earlier one: Sprig's `slice` stands for Go's.
const FAMILIES: &[&[Function]] = &[
    builtins::TABLE,
    compare::TABLE,
    strings::TABLE,
    case::TABLE,
    naming::TABLE,
    math::TABLE,
    lists::TABLE,
    dicts::TABLE,
    defaults::TABLE,
    regex::TABLE,
    encoding::TABLE,
    ciphers::TABLE,
    certificates::TABLE,
    paths::TABLE,
    urls::TABLE,
    versions::TABLE,
    dates::TABLE,
    tinkerbell::TABLE,
];

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FAMILIES.iter().rev().flat_map(|family| family.iter()).find(|function| function.name == name)
}

/// The names of all functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.iter()).map(|function| function.name)
}
