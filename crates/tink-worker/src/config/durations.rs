//! Durations as Go writes them, and as older workers took them.

use std::time::Duration;

/// Go's `time.ParseDuration`, without a sign: `1h2m3.5s`, `500ms`, `0`.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        nanos += number
            * match &rest[..end] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[end..];
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(nanos / 1e9).ok() }
}

/// Seconds where older workers took nanoseconds for seconds, longest pause that anybody can have meant.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// `RETRY_INTERVAL`: `3s`; `3`, which was meant as seconds; `3ns`, which workers up to v0.6 took for three seconds.
pub(super) fn retry_interval(text: &str) -> Option<Duration> {
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => go_duration(text)?,
    };
    let legacy = Duration::from_micros(1);
    let meant = if duration < legacy { Duration::from_secs(u64::from(duration.subsec_nanos())) } else { duration };
    Some(meant.min(RETRY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_interval_is_what_was_meant() {
        for (text, seconds) in [("3s", 3), ("3", 3), ("3ns", 3), ("1m", 60), ("0", 0), ("900ns", 900), ("99h", 3600)] {
            assert_eq!(retry_interval(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(retry_interval("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "-3s", "soon", "3 s"] {
            assert_eq!(retry_interval(bad), None, "{bad}");
        }
    }
}
