//! Numbers as Go writes them.

use serde_json::Number;

/// From this power of ten on `%g` with the shortest digits writes an exponent.
const FIXED_BELOW: i32 = 6;

/// A JSON number on its way through Go's JSON and YAML libraries: whole numbers as integers, others by `%g`.
pub(super) fn number_text(number: &Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    let Some(value) = number.as_f64() else { return number.to_string() };
    // Go's JSON writes whole floats without a point, and what fits an integer is read back as one.
    const I64_EDGE: f64 = 9_223_372_036_854_775_808.0;
    const U64_EDGE: f64 = 18_446_744_073_709_551_616.0;
    if value.fract() == 0.0 && (-I64_EDGE..U64_EDGE).contains(&value) {
        return format!("{}", value + 0.0);
    }
    float_text(value, false)
}

/// Go's `strconv.FormatFloat(value, 'g', -1, …)`, with YAML's names for what is no number.
///
/// `single` takes the shortest digits that give the same 32-bit float.
pub(crate) fn float_text(value: f64, single: bool) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the caller asks for 32 bits")]
    let scientific = if single { format!("{:e}", value as f32) } else { format!("{value:e}") };
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..FIXED_BELOW).contains(&exponent) {
        #[expect(clippy::cast_possible_truncation, reason = "the caller asks for 32 bits")]
        return if single { format!("{}", value as f32) } else { format!("{value}") };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
