//! Which type an unquoted scalar has, by the tables of Go's YAML libraries.

use crate::timestamp::is_timestamp;

/// The value of a plain scalar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    /// Past `i64::MAX`.
    Uint(u64),
    Float(f64),
    Timestamp,
    Text,
}

impl Resolved {
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Int(_) | Self::Uint(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Timestamp => "!!timestamp",
            Self::Text => "!!str",
        }
    }
}

/// Which library's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// `yaml.v2` as in `sigs.k8s.io/yaml`: `yes`, `no`, `on`, `off`, `y`, `n` are booleans; `0o17` is text.
    V2,
    /// `yaml.v3`: only `true` and `false` are booleans; `0o17` is a number.
    V3,
}

/// Resolves the text of a plain scalar.
pub(crate) fn resolve(text: &str, table: Table) -> Resolved {
    if let Some(known) = word(text, table) {
        return known;
    }
    match text.as_bytes().first() {
        Some(b'.') => float(text, true).map_or(Resolved::Text, Resolved::Float),
        Some(b'+' | b'-' | b'0'..=b'9') => number(text, table),
        _ => Resolved::Text,
    }
}

fn word(text: &str, table: Table) -> Option<Resolved> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Resolved::Null,
        "true" | "True" | "TRUE" => Resolved::Bool(true),
        "false" | "False" | "FALSE" => Resolved::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if table == Table::V2 => Resolved::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if table == Table::V2 => Resolved::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Resolved::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

fn number(text: &str, table: Table) -> Resolved {
    if is_timestamp(text) {
        return Resolved::Timestamp;
    }
    let plain = text.replace('_', "");
    if let Some(found) = integer(&plain) {
        return found;
    }
    if let Some(found) = float(&plain, false) {
        return Resolved::Float(found);
    }
    // Go reads `0b` and `0o` through its own number syntax above; only signs inside the digits are left to these.
    let radix = |prefix: &str, radix| {
        let (sign, digits) = match plain.strip_prefix('-') {
            Some(rest) => ("-", rest.strip_prefix(prefix)?),
            None => ("", plain.strip_prefix(prefix)?),
        };
        i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(Resolved::Int)
    };
    radix("0b", 2).or_else(|| if table == Table::V3 { radix("0o", 8) } else { None }).unwrap_or(Resolved::Text)
}

/// Go's `strconv.ParseInt(text, 0, 64)`, then `ParseUint`: `0x`, `0o`, `0b` and a leading `0` choose the base.
fn integer(text: &str) -> Option<Resolved> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &lower[..])
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Resolved::Int);
    }
    match i64::try_from(magnitude) {
        Ok(value) => Some(Resolved::Int(value)),
        // ParseUint takes no sign.
        Err(_) if signed => None,
        Err(_) => Some(Resolved::Uint(magnitude)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, and not past the range of a float.
///
/// A text that starts with a dot goes to Go's `ParseFloat` as it stands, which takes `_` between digits (`.5_0`).
fn float(text: &str, underscores: bool) -> Option<f64> {
    let text = if underscores { without_underscores(text)? } else { text.to_owned() };
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let digits = |part: &str| part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let whole = digits(unsigned);
    let mut rest = &unsigned[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let places = digits(fraction);
        if whole == 0 && places == 0 {
            return None;
        }
        rest = &fraction[places..];
    } else if whole == 0 {
        return None;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let fine = bytes.iter().enumerate().all(|(at, b)| *b != b'_' || (at > 0 && digit(at - 1) && digit(at + 1)));
    fine.then(|| text.replace('_', ""))
}
