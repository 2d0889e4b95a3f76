//! Times on the wire.

use prost_types::Timestamp as Wire;
use tink_workflow::Timestamp;

/// Seconds of Go's zero time, 0001-01-01T00:00:00Z: today's agents send it for "not set".
const GO_ZERO_S: i64 = -62_135_596_800;

/// A time from the wire. Go's zero time and times that do not exist are none: a clock that is wrong must not cost a report.
pub fn from_wire(wire: Option<&Wire>) -> Option<Timestamp> {
    let wire = wire.filter(|wire| wire.seconds != GO_ZERO_S)?;
    if !(0..1_000_000_000).contains(&wire.nanos) {
        return None;
    }
    Timestamp::new(wire.seconds, wire.nanos).ok()
}

/// A time for the wire.
pub fn to_wire(at: Timestamp) -> Wire {
    let (mut seconds, mut nanos) = (at.as_second(), at.subsec_nanosecond());
    // Before 1970 the fraction is negative; the wire wants it counted forward.
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    Wire { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_zero_time_and_impossible_times_are_absent() {
        assert_eq!(from_wire(None), None);
        assert_eq!(from_wire(Some(&Wire { seconds: GO_ZERO_S, nanos: 0 })), None);
        assert_eq!(from_wire(Some(&Wire { seconds: i64::MAX, nanos: 0 })), None);
        assert_eq!(from_wire(Some(&Wire { seconds: 1, nanos: -1 })), None);
        assert_eq!(from_wire(Some(&Wire { seconds: 1, nanos: 5 })), Timestamp::new(1, 5).ok());
    }

    #[test]
    fn times_before_1970_come_back_as_they_were() {
        let at: Timestamp = "1969-12-31T23:59:58.25Z".parse().unwrap();
        assert_eq!(from_wire(Some(&to_wire(at))), Some(at));
    }
}
