//! Numbers out of anything, leniently: what is no number is 0.

use crate::syntax::{parse_float, parse_int};
use crate::value::Value;

/// Sprig's `int64`: strings in Go's syntax with base prefix (so `010` is 8), floats cut, `true` is 1.
pub(super) fn to_int64(value: &Value) -> i64 {
    match value.indirect() {
        Value::Int(_, n) => n,
        Value::Uint(_, n) => n.cast_signed(),
        Value::Float(f) => float_to_int(f),
        Value::Bool(b) => i64::from(b),
        Value::Str(text) => parse_int(trim_zero_decimal(&text.to_str_lossy())).unwrap_or_default(),
        _ => 0,
    }
}

/// Go leaves the conversion of what does not fit to the machine; x86-64 gives the least integer.
fn float_to_int(f: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cutting the fraction is what is asked for; the range is checked"
    )]
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&f) { f as i64 } else { i64::MIN }
}

/// `8.00` as `8`.
fn trim_zero_decimal(text: &str) -> &str {
    match text.rsplit_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    }
}

/// Sprig's `float64`.
pub(super) fn to_float(value: &Value) -> f64 {
    match value.indirect() {
        #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
        Value::Int(_, n) => n as f64,
        #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
        Value::Uint(_, n) => n as f64,
        Value::Float(f) => f,
        Value::Bool(b) => f64::from(u8::from(b)),
        Value::Str(text) => text_to_float(&text.to_str_lossy()),
        _ => 0.0,
    }
}

fn text_to_float(text: &str) -> f64 {
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.len() - unsigned.len() <= 1 && !unsigned.is_empty() {
        let lower = unsigned.to_ascii_lowercase();
        if lower == "inf" || lower == "infinity" {
            return if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        if lower == "nan" && text.len() == 3 {
            return f64::NAN;
        }
    }
    parse_float(text).unwrap_or_default()
}

/// Go's `strconv.Atoi` without its error: what does not fit becomes the nearest that does, what is no number 0.
pub(super) fn atoi(text: &str) -> i64 {
    match text.parse::<i64>() {
        Ok(n) => n,
        Err(fault) => match fault.kind() {
            std::num::IntErrorKind::PosOverflow => i64::MAX,
            std::num::IntErrorKind::NegOverflow => i64::MIN,
            _ => 0,
        },
    }
}
