//! Floats as text, by Go's `strconv`.

/// Go's `FormatFloat` for 64 bits: `verb` is one of e, E, f, F, g, G; no precision means the shortest that reads back.
pub(crate) fn format_float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match verb {
        'f' | 'F' => match precision {
            Some(precision) => format!("{value:.precision$}"),
            None => format!("{value}"),
        },
        'e' | 'E' => exponential(value, verb, precision),
        _ => general(value, verb, precision),
    }
}

/// What `%v` prints for a float64.
pub(crate) fn shortest(value: f64) -> String {
    format_float(value, 'g', None)
}

/// The digits and the decimal exponent of a value.
fn digits_of(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.to_owned(), exponent.parse().unwrap_or_default())
}

fn exponential(value: f64, verb: char, precision: Option<usize>) -> String {
    let (mantissa, exponent) = digits_of(value, precision);
    let marker = if verb.is_ascii_uppercase() { 'E' } else { 'e' };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{marker}{sign}{:02}", exponent.unsigned_abs())
}

fn general(value: f64, verb: char, precision: Option<usize>) -> String {
    let marker = if verb == 'G' { 'E' } else { 'e' };
    let wanted = precision.map(|precision| precision.max(1));
    let (mantissa, exponent) = digits_of(value, wanted.map(|wanted| wanted - 1));
    let mut digits = mantissa.trim_start_matches('-').replace('.', "");
    if wanted.is_some() {
        let kept = digits.trim_end_matches('0').len().max(1);
        digits.truncate(kept);
    }
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let mut limit = match wanted {
        Some(wanted) => i32::try_from(wanted).unwrap_or(i32::MAX),
        None => 6,
    };
    if wanted.is_some() && limit > count && count > exponent {
        limit = count;
    }
    if exponent < -4 || exponent >= limit {
        return exponential(value, marker, Some(digits.len() - 1));
    }
    let decimals = usize::try_from(count - 1 - exponent).unwrap_or_default();
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_go() {
        assert_eq!(format_float(3.0, 'e', None), "3e+00");
        assert_eq!(format_float(1234.5678, 'g', Some(3)), "1.23e+03");
        assert_eq!(format_float(100.0, 'g', Some(4)), "100");
        assert_eq!(format_float(0.000012, 'g', None), "1.2e-05");
        assert_eq!(format_float(2.50, 'f', Some(1)), "2.5");
    }
}
