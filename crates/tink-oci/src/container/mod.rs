//! Building the container, from inside: what the forked child of the shim does before it becomes the program.

mod binds;
mod copy;
mod dev;
mod environment;
mod files;
mod limits;
mod loopback;
mod memory;
mod mounts;
mod pivot;
mod program;
mod root;
mod rootfs;
mod setup;
mod streams;
mod user;

use std::os::unix::fs::MetadataExt;

pub(crate) use dev::ReadyDev;
pub(crate) use environment::Environment;
pub(crate) use limits::set_limits;
pub(crate) use program::run;
pub use root::{Missing, Root};
pub(crate) use rootfs::{UPPER_DIR, WORK_DIR};
pub(crate) use setup::{Gate, become_program};
pub(crate) use streams::{Streams, open_terminal, send_terminal, take_terminal};
pub(crate) use user::User;

/// Number of the initial PID namespace's inode, fixed by the kernel's interface.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Whether this process is in the machine's initial PID namespace, where [`crate::PidNamespace::Host`] means the machine's
/// processes and kexec and reboot take effect. In a container of an engine it usually is not.
#[must_use]
pub fn in_initial_pid_namespace() -> bool {
    std::fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() == INITIAL_PID_NAMESPACE)
}
