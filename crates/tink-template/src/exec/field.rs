//! Fields of maps, structs and objects, and methods.

use super::walk::{Executor, Outcome};
use super::{Stop, StopKind};
use crate::syntax::Expr;
use crate::value::{GoStr, Object, Value};

impl<'t> Executor<'t> {
    /// Follows a chain of fields; only the last can be a method and take the arguments.
    #[expect(clippy::too_many_arguments, reason = "the receiver, its name, the chain, and a call's arguments")]
    pub(super) fn fields(
        &mut self,
        at: usize,
        receiver: Value,
        start: &str,
        fields: &'t [String],
        args: &'t [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Outcome<Value> {
        let mut value = receiver;
        let mut last = last;
        for (i, field) in fields.iter().enumerate() {
            let is_last = i + 1 == fields.len();
            let parent = || shown_path(start, fields.get(..i).unwrap_or_default());
            if let Value::Object(object) = &value {
                let object = object.clone();
                let (args, last) = if is_last { (args, last.take()) } else { (&[][..], None) };
                value = self.method(at, object.as_ref(), field, args, last, dot)?;
                continue;
            }
            if is_last && (!args.is_empty() || last.is_some()) {
                return Err(Stop::new(at, format!("{}.{field} is not a method and takes no arguments", parent())));
            }
            value = field_of(at, &value, field, parent)?;
        }
        Ok(value)
    }

    fn method(
        &mut self,
        at: usize,
        object: &dyn Object,
        name: &str,
        args: &'t [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Outcome<Value> {
        let Some(params) = object.method(name) else {
            return Err(Stop::new(at, format!("a {} has no field or method {name}", object.type_name())));
        };
        let count = args.len() + usize::from(last.is_some());
        if count != params.len() {
            return Err(Stop::new(at, format!("the method {name} wants {} arguments, not {count}", params.len())));
        }
        let mut values = Vec::with_capacity(count);
        for (i, (arg, param)) in args.iter().zip(params).enumerate() {
            values.push(self.argument(at, name, i, arg, *param, dot)?);
        }
        if let (Some(last), Some(param)) = (last, params.last()) {
            values.push(super::arguments::fit(at, name, args.len(), last, *param)?);
        }
        object.call(name, &values).map_err(|fault| Stop::in_function(at, name, fault))
    }
}

fn shown_path(start: &str, fields: &[String]) -> String {
    match (start, fields.is_empty()) {
        (".", true) => ".".to_owned(),
        (".", false) => format!(".{}", fields.join(".")),
        (start, true) => start.to_owned(),
        (start, false) => format!("{start}.{}", fields.join(".")),
    }
}

fn field_of(at: usize, receiver: &Value, name: &str, parent: impl Fn() -> String) -> Outcome<Value> {
    match receiver.indirect() {
        Value::Nil => Err(Stop::new(
            at,
            format!("{} is nil and has no key {name:?}; guard it with `if` or `with`, or use `dig`", parent()),
        )),
        Value::Map(map) => map.get(&GoStr::from(name)).ok_or_else(|| {
            let keys = map.entries().keys().map(|key| key.to_str_lossy().into_owned()).collect();
            Box::new(Stop { at, kind: StopKind::MissingKey { key: name.to_owned(), parent: parent(), keys } })
        }),
        Value::Struct(value) => value.field(name).ok_or_else(|| {
            let keys: Vec<&str> = value.kind.fields.iter().map(|field| field.name).collect();
            let keys = keys.into_iter().map(str::to_owned).collect();
            Box::new(Stop { at, kind: StopKind::MissingKey { key: name.to_owned(), parent: parent(), keys } })
        }),
        other => Err(Stop::new(
            at,
            format!("{} is a {} and has no field {name}; only maps have fields", parent(), other.type_name()),
        )),
    }
}
