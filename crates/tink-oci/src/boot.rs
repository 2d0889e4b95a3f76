//! Which boot of the machine this is, and what time it is.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The kernel's random id of this boot; process ids and start times mean something only within one.
pub(crate) fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The wall clock, for what people read.
///
/// The shim is a process of its own and writes what it saw; there is no caller who could hand it a clock.
pub(crate) fn now() -> Timestamp {
    let now = clock_gettime(ClockId::Realtime);
    Timestamp::new(now.tv_sec, i32::try_from(now.tv_nsec).unwrap_or(0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Milliseconds since boot, suspended time included; unlike the wall clock it never jumps.
pub(crate) fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}
