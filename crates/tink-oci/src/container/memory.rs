//! How much memory a container's own layer may take.

/// Less than this no container works with.
const BYTES_MIN: u64 = 16 << 20;

/// Half of what is available now, in bytes, so that a container that writes without end is told that there is no space
/// left while the machine and the container's programs still have memory. `None` where the kernel does not say.
///
/// The kernel's own default, half of what the machine has, is more than is left on a small machine with its installer
/// system in memory, and is granted to each container anew, whatever others have written.
pub(super) fn half_of_available() -> Option<u64> {
    half_of(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn half_of(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some((kib.saturating_mul(1024) / 2).max(BYTES_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_available_is_taken_and_never_next_to_nothing() {
        let meminfo =
            |kib: u64| format!("MemTotal: 2015352 kB\nMemFree: 1 kB\nMemAvailable:    {kib} kB\nCached: 1 kB\n");
        assert_eq!(half_of(&meminfo(1_000_000)), Some(512_000_000));
        // A tmpfs of size 0 would have no limit.
        assert_eq!(half_of(&meminfo(0)), Some(BYTES_MIN));
        assert_eq!(half_of("MemTotal: 2015352 kB\n"), None);
    }

    #[test]
    fn this_kernel_says_what_is_available() {
        assert!(half_of_available().unwrap() >= BYTES_MIN);
    }
}
