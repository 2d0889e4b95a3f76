//! Literals: Go's quoted strings, character constants and numbers.

use super::node::Number;

/// What a quoted string (with its quotes) stands for; `None` when Go would refuse it.
pub(super) fn unquote(quoted: &str) -> Option<Vec<u8>> {
    let quote = quoted.chars().next()?;
    let body = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if quote == '`' {
        return Some(body.bytes().filter(|b| *b != b'\r').collect());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let (unit, left) = unquote_one(rest, quote)?;
        match unit {
            Unit::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unit::Byte(b) => out.push(b),
        }
        rest = left;
    }
    Some(out)
}

enum Unit {
    Char(char),
    Byte(u8),
}

fn unquote_one(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let plain = |c| Some((Unit::Char(c), rest));
    match escape {
        'a' => plain('\u{7}'),
        'b' => plain('\u{8}'),
        'f' => plain('\u{c}'),
        'n' => plain('\n'),
        'r' => plain('\r'),
        't' => plain('\t'),
        'v' => plain('\u{b}'),
        '\\' => plain('\\'),
        c @ ('\'' | '"') if c == quote => plain(c),
        'x' => {
            let (value, rest) = digits(rest, 2, 16)?;
            Some((Unit::Byte(u8::try_from(value).ok()?), rest))
        }
        'u' | 'U' => {
            let (value, rest) = digits(rest, if escape == 'u' { 4 } else { 8 }, 16)?;
            Some((Unit::Char(char::from_u32(value)?), rest))
        }
        '0'..='7' => {
            let (value, rest) = digits(text.get(1..)?, 3, 8)?;
            Some((Unit::Byte(u8::try_from(value).ok()?), rest))
        }
        _ => None,
    }
}

fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let digits = text.get(..count)?;
    if !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(digits, radix).ok()?, text.get(count..)?))
}

/// The value of a character constant (with its quotes).
pub(super) fn character(text: &str) -> Option<Number> {
    let body = text.get(1..text.len().checked_sub(1)?)?;
    let (unit, rest) = unquote_one(body, '\'')?;
    if !rest.is_empty() {
        return None;
    }
    let value = match unit {
        Unit::Char(c) => u32::from(c),
        Unit::Byte(b) => u32::from(b),
    };
    Some(Number {
        text: text.to_owned(),
        int: Some(i64::from(value)),
        uint: Some(u64::from(value)),
        float: Some(f64::from(value)),
    })
}

/// A number, or why it is none.
pub(super) fn number(text: &str) -> Result<Number, String> {
    if text.ends_with('i') {
        return Err(format!("complex numbers such as {text:?} are not supported"));
    }
    let mut number = Number { text: text.to_owned(), ..Number::default() };
    number.uint = parse_uint(text);
    number.int = parse_int(text);
    if number.int == Some(0) {
        // "-0" is an unsigned zero, too.
        number.uint = Some(0);
    }
    if let Some(int) = number.int {
        #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
        let float = int as f64;
        number.float = Some(float);
    } else if let Some(uint) = number.uint {
        #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
        let float = uint as f64;
        number.float = Some(float);
    } else if let Some(float) = parse_float(text) {
        if !text.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("the integer {text} is too large"));
        }
        number.float = Some(float);
        #[expect(clippy::cast_possible_truncation, reason = "checked against the float again")]
        #[expect(clippy::cast_precision_loss, reason = "checked against the float again")]
        #[expect(clippy::float_cmp, reason = "an exact integer is what is asked for")]
        if float.abs() < 9.3e18 && float as i64 as f64 == float {
            number.int = Some(float as i64);
            number.uint = u64::try_from(float as i64).ok();
        }
    } else {
        return Err(format!("{text:?} is not a number"));
    }
    Ok(number)
}

/// Go's integer syntax with base prefix and underscores.
pub(crate) fn parse_uint(text: &str) -> Option<u64> {
    let (radix, digits) = radix_of(text);
    let digits = if text.contains('_') { strip_underscores(text, digits, radix)? } else { digits.to_owned() };
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(&digits, radix).ok()
}

/// Like [`parse_uint`], with a sign.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = parse_uint(body)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

fn radix_of(text: &str) -> (u32, &str) {
    let Some(rest) = text.strip_prefix('0') else { return (10, text) };
    match rest.chars().next() {
        None => (10, text),
        Some('x' | 'X') => (16, rest.get(1..).unwrap_or_default()),
        Some('o' | 'O') => (8, rest.get(1..).unwrap_or_default()),
        Some('b' | 'B') => (2, rest.get(1..).unwrap_or_default()),
        Some(_) => (8, rest),
    }
}

/// Underscores may stand only between digits, or after a base prefix.
fn strip_underscores(whole: &str, digits: &str, radix: u32) -> Option<String> {
    if whole.contains("__") || whole.ends_with('_') || whole.starts_with('_') {
        return None;
    }
    if digits.starts_with('_') && radix == 10 {
        return None;
    }
    Some(digits.replace('_', ""))
}

/// Go's floating-point syntax: decimal with underscores, hexadecimal with a `p` exponent.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    if text.contains('_') && !underscores_separate(text) {
        return None;
    }
    let text = text.replace('_', "");
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1.0, body),
        None => (1.0, text.strip_prefix('+').unwrap_or(&text)),
    };
    if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
        return hex_float(hex).map(|value| value * sign);
    }
    if !body.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: f64 = body.parse().ok()?;
    value.is_finite().then_some(value * sign)
}

/// Whether each underscore stands between digits, or between a base prefix and a digit.
fn underscores_separate(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_hexdigit);
    let is_prefix = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|b| matches!(b, b'x' | b'X'));
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let before = at.checked_sub(1);
        (is_digit(before) || is_prefix(before)) && is_digit(Some(at + 1))
    })
}

fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    let value = value * 2f64.powi(shift);
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_hold_every_type_that_fits() {
        let n = number("1e3").unwrap();
        assert_eq!((n.int, n.float), (Some(1000), Some(1000.0)));
        assert_eq!(number("0x1F").unwrap().int, Some(31));
        assert_eq!(number("0x1p4").unwrap().int, Some(16));
        assert_eq!(number("1_000").unwrap().int, Some(1000));
        assert!(number("1__0").is_err());
        assert_eq!(number("18446744073709551615").unwrap().int, None);
        assert!(number("99999999999999999999").is_err());
    }

    #[test]
    fn escapes_are_those_of_go() {
        assert_eq!(unquote(r#""a\tb\x41\u00e9\101""#).unwrap(), "a\tbA\u{e9}A".as_bytes());
        assert_eq!(unquote(r#""\q""#), None);
        assert_eq!(unquote("`a\\n`").unwrap(), b"a\\n");
    }
}
