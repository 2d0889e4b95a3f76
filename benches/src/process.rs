//! What the kernel counts of a process.

use anyhow::{Context as _, Result};

/// A line of `/proc/<pid>/status`, in bytes.
pub fn status_bytes(pid: u32, key: &str) -> Result<u64> {
    Ok(status_number(pid, key)? * 1024)
}

/// The process that another one is a child of.
pub fn parent(pid: u32) -> Result<u32> {
    u32::try_from(status_number(pid, "PPid:")?).context("no process id")
}

/// All children of a process.
pub fn children(of: u32) -> Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc").context("failed to read /proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // One that ends meanwhile has no parent.
    Ok(pids.filter(|pid| parent(*pid).is_ok_and(|parent| parent == of)).collect())
}

fn status_number(pid: u32, key: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("failed to read /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
    line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{key} is no number"))
}

/// The share of memory that is a process's own: pages that several map are divided among them.
pub fn proportional_bytes(pid: u32) -> Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("failed to read /proc")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("Pss is no number")?;
    Ok(kib * 1024)
}

/// The most memory that a process has from now on.
pub struct Peak {
    pid: u32,
    before: u64,
}

impl Peak {
    /// Begins to look.
    pub fn begin(pid: u32) -> Result<Self> {
        // 5 resets the peak (proc(5)).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("failed to reset the peak")?;
        Ok(Self { pid, before: status_bytes(pid, "VmRSS:")? })
    }

    /// How much more than at the beginning it was at most.
    pub fn bytes_more(&self) -> Result<u64> {
        Ok(status_bytes(self.pid, "VmHWM:")?.saturating_sub(self.before))
    }
}

/// What a process wrote.
pub struct IoCounters {
    /// Bytes given to write calls.
    pub written: u64,
}

impl IoCounters {
    /// So far.
    pub fn of(pid: u32) -> Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).context("failed to read /proc")?;
        let line = text.lines().find_map(|line| line.strip_prefix("wchar:")).context("no wchar")?;
        Ok(Self { written: line.trim().parse().context("wchar is no number")? })
    }
}
