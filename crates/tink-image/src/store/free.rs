//! How much room there is.

use std::path::Path;

/// Of `statfs(2)`: file systems that are memory.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Bytes that can be written below a directory; `None` where nobody knows.
pub(super) fn bytes(directory: &Path) -> Option<u64> {
    let system = rustix::fs::statfs(directory).ok()?;
    let in_memory = IN_MEMORY.contains(&system.f_type);
    // One without a size, such as the root of an initramfs, is bounded by nothing else than the memory.
    let has_size = system.f_blocks > 0;
    let of_system = has_size.then(|| system.f_bavail.saturating_mul(u64::try_from(system.f_bsize).unwrap_or(0)));
    let of_memory = if in_memory { memory_available() } else { None };
    match (of_system, of_memory) {
        (Some(system), Some(memory)) => Some(system.min(memory)),
        (system, memory) => system.or(memory),
    }
}

/// What the kernel could give to programs without swapping.
fn memory_available() -> Option<u64> {
    parse_available(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let text = "MemTotal:       16316412 kB\nMemFree:         1000 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(parse_available(text), Some(2048 * 1024));
        assert_eq!(parse_available("MemTotal: 1 kB\n"), None, "before Linux 3.14");
    }

    #[test]
    fn a_file_system_in_memory_has_no_more_room_than_the_memory() {
        let memory = memory_available().unwrap();
        let room = bytes(Path::new("/dev/shm")).unwrap();
        assert!(room <= memory.saturating_mul(2), "{room} of {memory}");
        assert!(bytes(Path::new("/")).unwrap() > 0);
    }
}
