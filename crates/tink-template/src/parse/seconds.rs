//! Spans of time as people write them where a number of seconds is needed.

/// Seconds of a text such as `90`, `30m`, `1h30m`.
pub(super) fn seconds_of(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut seconds = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let letters = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let factor = match &unit[..letters] {
            "" if letters == unit.len() => 1,
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(factor)?)?;
        rest = &unit[letters..];
    }
    Some(seconds)
}
