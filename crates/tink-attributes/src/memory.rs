//! Memory, from `/sys/devices/system/memory` and `/proc/meminfo`.

use crate::Machine;
use crate::size::human;

const BLOCKS: &str = "sys/devices/system/memory";

/// How much memory there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What is built in, such as `32GB`.
    pub total: String,
    /// What the kernel has to give.
    pub usable: String,
}

pub(crate) fn collect(machine: &Machine) -> Memory {
    let usable = usable(&machine.text("proc/meminfo").unwrap_or_default()).unwrap_or(0);
    // Virtual machines often have no memory blocks.
    let total = installed(machine).unwrap_or(usable);
    Memory { total: human(total), usable: human(usable) }
}

fn usable(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The memory blocks that are online.
fn installed(machine: &Machine) -> Option<u64> {
    let size = u64::from_str_radix(&machine.text(&format!("{BLOCKS}/block_size_bytes"))?, 16).ok()?;
    let is_online = |name: &String| {
        let number = name.strip_prefix("memory").is_some_and(|digits| digits.parse::<u64>().is_ok());
        let path = |file: &str| format!("{BLOCKS}/{name}/{file}");
        let state = machine.text(&path("state")).is_some_and(|state| state == "online");
        number && (state || machine.text(&path("online")).is_some_and(|online| online == "1"))
    };
    let blocks = machine.names(BLOCKS).iter().filter(|name| is_online(name)).count() as u64;
    (blocks > 0).then(|| blocks.saturating_mul(size))
}
