//! How a duration is written in a report.

use std::time::Duration;

/// Writes a duration as upstream's agents do: the units h, m, s, ms, us, ns, only those that are not zero, the first
/// two of them, without a space.
///
/// ```
/// use std::time::Duration;
/// use tink_workflow::human_duration;
/// assert_eq!(human_duration(Duration::from_millis(1_500)), "1s500ms");
/// assert_eq!(human_duration(Duration::from_secs(3_605)), "1h5s");
/// assert_eq!(human_duration(Duration::ZERO), "");
/// ```
#[must_use]
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let nanos = duration.subsec_nanos();
    let units = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(nanos / 1_000_000), "ms"),
        (u64::from(nanos / 1_000 % 1_000), "us"),
        (u64::from(nanos % 1_000), "ns"),
    ];
    units.iter().filter(|(value, _)| *value > 0).take(2).map(|(value, unit)| format!("{value}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_largest_units_are_kept() {
        let cases = [
            (Duration::from_nanos(1), "1ns"),
            (Duration::from_nanos(1_001), "1us1ns"),
            (Duration::from_nanos(3_000_000), "3ms"),
            (Duration::from_secs(59), "59s"),
            (Duration::from_secs(60), "1m"),
            (Duration::from_secs(3_661), "1h1m"),
            (Duration::from_secs(3_600) + Duration::from_nanos(7), "1h7ns"),
            (Duration::from_secs(90_000), "25h"),
        ];
        for (duration, text) in cases {
            assert_eq!(human_duration(duration), text);
        }
    }
}
