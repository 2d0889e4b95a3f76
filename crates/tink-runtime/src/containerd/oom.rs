//! Whether the kernel killed a process of a container for want of memory.

use std::fs;
use std::path::{Path, PathBuf};

use super::spec::CGROUP_PARENT;

/// By the container's memory cgroup, which stays until the container is removed. `false` where that cannot be seen.
pub(super) fn killed_any(id: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    memory_cgroups(&mounts).into_iter().any(|root| {
        let dir = root.join(CGROUP_PARENT.trim_start_matches('/')).join(id);
        let count = ["memory.events", "memory.oom_control"].iter().find_map(|file| counter(&dir, file));
        count.is_some_and(|count| count > 0)
    })
}

/// Where the hierarchies that may count memory are mounted.
fn memory_cgroups(mounts: &str) -> Vec<PathBuf> {
    let point = |line: &str| {
        let (own, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let (kind, options) = (kind.next()?, kind.nth(1)?);
        let counts = kind == "cgroup2" || (kind == "cgroup" && options.split(',').any(|option| option == "memory"));
        counts.then(|| own.split(' ').nth(4).map(PathBuf::from))?
    };
    mounts.lines().filter_map(point).collect()
}

fn counter(dir: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(dir.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cgroups_are_found() {
        let mounts = "36 29 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      37 29 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      38 29 0:33 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let found = memory_cgroups(mounts);
        assert_eq!(found, [PathBuf::from("/sys/fs/cgroup/memory"), PathBuf::from("/sys/fs/cgroup/unified")]);
    }
}
