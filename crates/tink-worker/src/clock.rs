//! Time as the worker sees it, passed in so that tests own it.

use std::fmt;
use std::time::Duration;

use tink_workflow::Timestamp;

/// The machine's clocks.
///
/// The wall clock of a machine that boots may jump from 1970 to now while an action runs, so durations and deadlines
/// are measured by the time since boot, which also goes on across a restart of the worker.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Time since boot, suspend included.
    fn uptime(&self) -> Duration;
    /// Which boot [`Clock::uptime`] counts from; empty where that is not known.
    fn boot_id(&self) -> String;
}

/// The clocks of the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn uptime(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    }

    fn boot_id(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    }
}
