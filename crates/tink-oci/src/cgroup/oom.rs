//! Whether the kernel killed a process for want of memory.

use std::path::PathBuf;

/// How many processes of the cgroups the kernel has killed for want of memory; nothing where no cgroup counts them.
pub(crate) fn oom_kills(paths: &[PathBuf]) -> Option<u64> {
    paths.iter().find_map(|path| {
        let v2 = std::fs::read_to_string(path.join("memory.events"));
        let text = v2.or_else(|_| std::fs::read_to_string(path.join("memory.oom_control"))).ok()?;
        counter(&text)
    })
}

/// The `oom_kill` line of `memory.events` (v2) or `memory.oom_control` (v1, Linux 4.13).
fn counter(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_interfaces_are_understood() {
        assert_eq!(counter("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), Some(1));
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\n"), None);
    }
}
