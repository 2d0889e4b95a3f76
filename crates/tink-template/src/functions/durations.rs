//! Go's durations: reading and writing `1h2m3.5s`.

/// Nanoseconds of a second.
pub(super) const SECOND: i64 = 1_000_000_000;

/// A duration as Go prints it.
pub(super) fn format(nanos: i64) -> String {
    let all = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if all == 0 {
        return "0s".to_owned();
    }
    if all < 1_000_000_000 {
        let (unit, size) = match all {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", fraction(all, size));
    }
    let (hours, rest) = (all / 3_600_000_000_000, all % 3_600_000_000_000);
    let (minutes, rest) = (rest / 60_000_000_000, rest % 60_000_000_000);
    let seconds = fraction(rest, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / size` without trailing zeros.
fn fraction(value: u64, size: u64) -> String {
    let width = size.to_string().len() - 1;
    let decimals = format!("{:0width$}", value % size);
    match decimals.trim_end_matches('0') {
        "" => (value / size).to_string(),
        decimals => format!("{}.{decimals}", value / size),
    }
}

/// Reads a duration; `None` when it is none.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let size: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && decimals.is_empty() {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let kept = decimals.get(..decimals.len().min(18))?;
        let part: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
        let scale = 10i128.checked_pow(u32::try_from(kept.len()).ok()?)?;
        total = total.checked_add(whole.checked_mul(size)?)?.checked_add(part.checked_mul(size)? / scale)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}
