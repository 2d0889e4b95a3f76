//! What is known of the daemon as a process: what it may do, and whether its paths and process ids are ours.

use std::fs;
use std::path::Path;

use tokio::net::UnixStream;

/// The daemon as a process of this machine.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    /// Its process id in our PID namespace; `None` where it is not in it or below it.
    pid: Option<u32>,
}

/// As in linux/capability.h, by number.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl Daemon {
    /// The one that listens at a socket.
    pub(super) async fn at(socket: &Path) -> std::io::Result<Self> {
        let pid = UnixStream::connect(socket).await?.peer_cred()?.pid();
        Ok(Self { pid: pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0) })
    }

    /// Whether a process id of ours is the same process to the daemon.
    pub(super) fn shares_processes(&self) -> bool {
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
        self.pid.is_some_and(|pid| {
            let theirs = namespace(&pid.to_string());
            theirs.is_some() && theirs == namespace("self")
        })
    }

    /// The names of the capabilities it can give: those of its own bounding set, or of ours where that cannot be seen.
    pub(super) fn capabilities(&self) -> Vec<String> {
        let of = |process: String| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        };
        let mask = self.pid.and_then(|pid| of(pid.to_string())).or_else(|| of("self".to_owned())).unwrap_or(u64::MAX);
        names(mask)
    }

    /// Whether the root of the machine is the initial ramfs, from which `pivot_root` is not possible.
    pub(super) fn is_on_initramfs(&self) -> bool {
        let process = self.pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let mounts = fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap_or_default();
        let mut roots = mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/"));
        roots.next_back().is_some_and(|line| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("rootfs ")))
    }
}

fn names(mask: u64) -> Vec<String> {
    let given = CAPABILITIES.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
    given.map(|(_, name)| format!("CAP_{name}")).collect()
}

/// The name of the machine.
pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_by_number() {
        assert_eq!(names(1 | 1 << 21 | 1 << 40), ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]);
        assert_eq!(names(u64::MAX).len(), 41);
    }
}
