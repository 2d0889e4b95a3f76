//! Sprig: integers and floats.

use super::args::{any, float, int};
use super::convert::{to_float, to_int64};
use super::decimal::Decimal;
use super::{Function, Param, Returned, fixed, variadic};
use crate::exec::{Context, Fault};
use crate::value::{IntType, List, Value, to_text};

use Param::{Any, Float, Int, Str};

pub(super) const TABLE: &[Function] = &[
    fixed("atoi", &[Str], |_, args| {
        let text = super::args::text(args, 0)?;
        Ok(Value::Int(IntType::Int, super::convert::atoi(&text)))
    }),
    fixed("int", &[Any], |_, args| Ok(Value::Int(IntType::Int, to_int64(any(args, 0)?)))),
    fixed("int64", &[Any], |_, args| Ok(Value::int64(to_int64(any(args, 0)?)))),
    fixed("float64", &[Any], |_, args| Ok(Value::Float(to_float(any(args, 0)?)))),
    fixed("toDecimal", &[Any], to_decimal),
    variadic("seq", &[Int], seq),
    fixed("until", &[Int], |context, args| {
        let count = int(args, 0)?;
        Ok(ints(steps(context, 0, count, if count < 0 { -1 } else { 1 })?))
    }),
    fixed("untilStep", &[Int, Int, Int], |context, args| {
        Ok(ints(steps(context, int(args, 0)?, int(args, 1)?, int(args, 2)?)?))
    }),
    fixed("add1", &[Any], |_, args| Ok(Value::int64(to_int64(any(args, 0)?).wrapping_add(1)))),
    variadic("add", &[Any], |_, args| {
        Ok(Value::int64(args.iter().fold(0, |sum, arg| sum.wrapping_add(to_int64(arg)))))
    }),
    fixed("sub", &[Any, Any], |_, args| {
        Ok(Value::int64(to_int64(any(args, 0)?).wrapping_sub(to_int64(any(args, 1)?))))
    }),
    fixed("div", &[Any, Any], |_, args| {
        let divisor = nonzero(to_int64(any(args, 1)?))?;
        Ok(Value::int64(to_int64(any(args, 0)?).wrapping_div(divisor)))
    }),
    fixed("mod", &[Any, Any], |_, args| {
        let divisor = nonzero(to_int64(any(args, 1)?))?;
        Ok(Value::int64(to_int64(any(args, 0)?).wrapping_rem(divisor)))
    }),
    variadic("mul", &[Any, Any], |_, args| {
        Ok(Value::int64(args.iter().fold(1, |product, arg| product.wrapping_mul(to_int64(arg)))))
    }),
    fixed("randInt", &[Int, Int], rand_int),
    fixed("add1f", &[Any], |_, args| {
        Ok(Value::Float(Decimal::new(to_float(any(args, 0)?))?.add(&Decimal::new(1.0)?).to_float()))
    }),
    variadic("addf", &[Any], |_, args| decimals(Decimal::new(0.0)?, args, |a, b| Ok(a.add(b)))),
    variadic("subf", &[Any, Any], |_, args| from_first(args, |a, b| Ok(a.sub(b)))),
    variadic("divf", &[Any, Any], |_, args| from_first(args, Decimal::div)),
    variadic("mulf", &[Any, Any], |_, args| from_first(args, |a, b| Ok(a.mul(b)))),
    variadic("max", &[Any, Any], |_, args| Ok(Value::int64(args.iter().map(to_int64).max().unwrap_or_default()))),
    variadic("biggest", &[Any, Any], |_, args| Ok(Value::int64(args.iter().map(to_int64).max().unwrap_or_default()))),
    variadic("min", &[Any, Any], |_, args| Ok(Value::int64(args.iter().map(to_int64).min().unwrap_or_default()))),
    variadic("maxf", &[Any, Any], |_, args| extreme(args, |a, b| if a > b { a } else { b })),
    variadic("minf", &[Any, Any], |_, args| extreme(args, |a, b| if a < b { a } else { b })),
    fixed("ceil", &[Any], |_, args| Ok(Value::Float(to_float(any(args, 0)?).ceil()))),
    fixed("floor", &[Any], |_, args| Ok(Value::Float(to_float(any(args, 0)?).floor()))),
    variadic("round", &[Any, Int, Float], round),
];

fn nonzero(divisor: i64) -> Result<i64, Fault> {
    if divisor == 0 { Err(Fault::new("integer divide by zero")) } else { Ok(divisor) }
}

/// Reads an octal number, such as a file mode; what is none is 0.
fn to_decimal(context: &Context, args: &[Value]) -> Returned {
    let text = to_text(context, any(args, 0)?)?;
    Ok(Value::int64(i64::from_str_radix(&text.to_str_lossy(), 8).unwrap_or_default()))
}

/// `start`, `start + step`, ... before `stop`.
fn steps(context: &Context, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, Fault> {
    if (stop < start && step >= 0) || (stop >= start && step <= 0) {
        return Ok(Vec::new());
    }
    let span = i128::from(stop) - i128::from(start);
    let count = (span.unsigned_abs()).div_ceil(u128::from(step.unsigned_abs()));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    context.produce_items(count)?;
    let mut next = Some(start);
    Ok((0..count)
        .map_while(|_| {
            let current = next?;
            next = current.checked_add(step);
            Some(current)
        })
        .collect())
}

fn ints(values: Vec<i64>) -> Value {
    Value::List(List::new("int", values.into_iter().map(|n| Value::Int(IntType::Int, n)).collect()))
}

fn seq(context: &Context, args: &[Value]) -> Returned {
    let numbers = (0..args.len()).map(|i| int(args, i)).collect::<Result<Vec<_>, _>>()?;
    let (start, step, end) = match *numbers.as_slice() {
        [end] => (1, if end < 1 { -1 } else { 1 }, end),
        [start, end] => (start, if end < start { -1 } else { 1 }, end),
        [start, step, end] if end < start && step > 0 => return Ok(Value::str("")),
        [start, step, end] => (start, step, end),
        _ => return Ok(Value::str("")),
    };
    let past = end.saturating_add(if end < start { -1 } else { 1 });
    let values = steps(context, start, past, step)?;
    let text: Vec<String> = values.iter().map(i64::to_string).collect();
    super::args::made(context, text.join(" "))
}

fn rand_int(context: &Context, args: &[Value]) -> Returned {
    let (low, high) = (int(args, 0)?, int(args, 1)?);
    match u64::try_from(i128::from(high) - i128::from(low)) {
        Ok(span) if span > 0 => Ok(Value::Int(IntType::Int, low.wrapping_add_unsigned(context.random() % span))),
        _ => Err(Fault::new(format!("the upper bound {high} must be greater than the lower bound {low}"))),
    }
}

fn decimals(first: Decimal, rest: &[Value], op: fn(&Decimal, &Decimal) -> Result<Decimal, Fault>) -> Returned {
    let mut result = first;
    for value in rest {
        result = op(&result, &Decimal::new(to_float(value))?)?;
    }
    Ok(Value::Float(result.to_float()))
}

fn from_first(args: &[Value], op: fn(&Decimal, &Decimal) -> Result<Decimal, Fault>) -> Returned {
    let (first, rest) = args.split_first().ok_or_else(|| Fault::new("no numbers"))?;
    decimals(Decimal::new(to_float(first))?, rest, op)
}

fn extreme(args: &[Value], pick: fn(f64, f64) -> f64) -> Returned {
    let mut values = args.iter().map(to_float);
    let first = values.next().unwrap_or_default();
    Ok(Value::Float(values.fold(first, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) })))
}

fn round(_: &Context, args: &[Value]) -> Returned {
    let threshold = if args.len() > 2 { float(args, 2)? } else { 0.5 };
    let places = i32::try_from(int(args, 1)?).unwrap_or(i32::MAX);
    let power = 10f64.powi(places);
    let digits = power * to_float(any(args, 0)?);
    let rounded = if digits.fract() >= threshold { digits.ceil() } else { digits.floor() };
    Ok(Value::Float(rounded / power))
}
