//! Printing, by Go's `fmt`.

mod directive;
mod integer;
mod quote;
mod verb;

pub(crate) use directive::sprintf;
pub(crate) use quote::{is_print, quote};
use verb::{Flags, Printer};

use super::{GoStr, Value};
use crate::exec::{Context, Fault};

/// `fmt.Sprint`: operands are separated by a space when neither is a string.
pub(crate) fn sprint(context: &Context, args: &[Value]) -> Result<GoStr, Fault> {
    let mut out = Printer::new(context);
    let mut previous_is_string = true;
    for (i, arg) in args.iter().enumerate() {
        let is_string = matches!(arg, Value::Str(_));
        if i > 0 && !is_string && !previous_is_string {
            out.push(" ")?;
        }
        out.value(arg, 'v', &Flags::default(), 0)?;
        previous_is_string = is_string;
    }
    Ok(out.finish())
}

/// `fmt.Sprintln`.
pub(crate) fn sprintln(context: &Context, args: &[Value]) -> Result<GoStr, Fault> {
    let mut out = Printer::new(context);
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push(" ")?;
        }
        out.value(arg, 'v', &Flags::default(), 0)?;
    }
    out.push("\n")?;
    Ok(out.finish())
}

/// The value as `%v` prints it.
pub(crate) fn to_text(context: &Context, value: &Value) -> Result<GoStr, Fault> {
    if let Value::Str(text) = value {
        return Ok(text.clone());
    }
    let mut out = Printer::new(context);
    out.value(value, 'v', &Flags::default(), 0)?;
    Ok(out.finish())
}

/// The value as the template prints it: one pointer is followed, nothing is `<no value>`.
pub(crate) fn printable(context: &Context, value: &Value) -> Result<GoStr, Fault> {
    match value {
        Value::Nil => Ok(GoStr::from("<no value>")),
        Value::Pointer(pointer) if pointer.target.is_none() => Ok(GoStr::from("<nil>")),
        value => to_text(context, &value.indirect()),
    }
}
