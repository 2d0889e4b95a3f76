//! Processes that outlive whoever starts them: the shim, and those of other crates that serve a container.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::{chdir, setsid};

use crate::cgroup;
use crate::sys::{self, Forked, OneThread};

/// Which process comes back from [`go_to_background`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that called; it is to end at once, so that the other is no child of whoever started it.
    Starter,
    /// The one that stays.
    Background,
}

/// Forks, and makes the new process independent of its starter: a session of its own, `/` as working directory, no
/// descriptors but the three streams and those marked close-on-exec, and out of the cgroups that a service manager would
/// empty together with the starter's.
///
/// # Errors
/// The process has more threads than one, or the kernel refused.
pub fn go_to_background() -> std::io::Result<Side> {
    let alone = OneThread::check()?;
    match sys::fork(&alone)? {
        Forked::Parent(_) => Ok(Side::Starter),
        Forked::Child => {
            setsid()?;
            chdir("/")?;
            close_stray_descriptors();
            cgroup::leave_service_for_root();
            Ok(Side::Background)
        }
    }
}

/// Closes what the launcher's parents left open: the container must not inherit it, and we must not keep it in use.
pub(crate) fn close_stray_descriptors() {
    for fd in open_descriptors().into_iter().filter(|fd| *fd > 2) {
        // Ours are all marked close-on-exec from their making; a stray one is not.
        let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")) else { continue };
        if !is_close_on_exec(&info) {
            let _ = nix::unistd::close(fd);
        }
    }
}

/// Closes everything but the three streams and `kept`.
pub(crate) fn close_all_but(kept: BorrowedFd<'_>) {
    for fd in open_descriptors().into_iter().filter(|fd| *fd > 2 && *fd != kept.as_raw_fd()) {
        let _ = nix::unistd::close(fd);
    }
}

fn open_descriptors() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Reads the `flags:` line of a descriptor's `fdinfo`: octal, with `O_CLOEXEC` in it.
fn is_close_on_exec(info: &str) -> bool {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_none_or(|flags| flags & CLOSE_ON_EXEC != 0)
}
