//! What needs `unsafe`: forking, setting what signals do, and waiting for a descriptor in the async runtime.

#![expect(unsafe_code, reason = "these have no safe wrapper; each block says why it is sound here")]

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::unistd::{ForkResult, fork as nix_fork};
use rustix::process::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which side of [`fork`] we are on.
pub(crate) enum Forked {
    /// The process that forked, with the new process's id.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Proof that this process had one thread when it was asked; the shim starts no other.
pub(crate) struct OneThread(());

impl OneThread {
    /// Looks; `EBUSY` in a process that has more threads than one.
    pub(crate) fn check() -> std::io::Result<Self> {
        if std::fs::read_dir("/proc/self/task")?.take(2).count() == 1 {
            Ok(Self(()))
        } else {
            Err(rustix::io::Errno::BUSY.into())
        }
    }
}

/// Forks a process that has one thread.
pub(crate) fn fork(_proof: &OneThread) -> std::io::Result<Forked> {
    // SAFETY: no other thread exists (the proof says so), so no lock of the allocator or of the standard library can be
    // held by a thread that the child would lack, and the child may run any code.
    match unsafe { nix_fork() }? {
        ForkResult::Child => Ok(Forked::Child),
        ForkResult::Parent { child } => {
            Pid::from_raw(child.as_raw()).map(Forked::Parent).ok_or_else(|| rustix::io::Errno::SRCH.into())
        }
    }
}

/// As [`fork`], with the new process in a cgroup of version 2 from its first moment (Linux 5.7).
///
/// Where that cannot be, it is where the calling process is.
pub(crate) fn fork_into(proof: &OneThread, cgroup: Option<BorrowedFd<'_>>) -> std::io::Result<Forked> {
    let Some(cgroup) = cgroup else { return fork(proof) };
    // SAFETY: a structure of integers, for which all zeros are valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    arguments.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    // SAFETY: without CLONE_VM and with no stack given this is a fork: the child has a copy of everything and goes on here.
    // No other thread exists (the proof says so), so that the child may run any code. What the C library does around its own
    // fork is for programs of several threads, but for the thread number it keeps, which is used by no call we make.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match i32::try_from(child) {
        Ok(0) => Ok(Forked::Child),
        Ok(child) if child > 0 => {
            Pid::from_raw(child).map(Forked::Parent).ok_or_else(|| rustix::io::Errno::SRCH.into())
        }
        // An older kernel, a filter that does not know the call, a cgroup that takes nobody.
        _ => fork(proof),
    }
}

/// Gives the calling thread a session keyring of its own: keys that the launcher was given (of a file system with
/// encryption, of a network one) are not the program's.
pub(crate) fn join_new_session_keyring() -> std::io::Result<()> {
    // SAFETY: the call reads nothing of ours: without a name the new keyring is anonymous.
    match unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// From linux/keyctl.h.
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Makes a mount, and all that are mounted below it, read-only (Linux 5.12).
pub(crate) fn set_mounts_read_only(mount: BorrowedFd<'_>) -> std::io::Result<()> {
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    let (at, path, attributes) = (mount.as_raw_fd(), c"".as_ptr(), &raw const attributes);
    // SAFETY: the descriptor is open, the path and the structure live until the call returns, and the kernel only reads them,
    // the latter no further than the size that is given.
    match unsafe { libc::syscall(libc::SYS_mount_setattr, at, path, flags, attributes, size_of::<libc::mount_attr>()) }
    {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// From linux/sched.h.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Signals the kernel has, real-time ones included.
const SIGNAL_MAX: i32 = 64;

/// Gives every signal its default action and unblocks all, as a program expects to find them at exec.
///
/// Exec keeps ignored signals ignored, and the standard library ignores SIGPIPE.
pub(crate) fn default_signals() -> std::io::Result<()> {
    for signal in 1..=SIGNAL_MAX {
        // SAFETY: `SIG_DFL` installs no handler, so no code of ours can be interrupted by one. For the signals that cannot
        // be set (SIGKILL, SIGSTOP, the C library's own two) the call fails and changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

/// Has the kernel reap the calling process's children: nobody asks how they ended.
pub(crate) fn disown_children() -> std::io::Result<()> {
    set_child_action(SigHandler::SigIgn)
}

/// Undoes [`disown_children`], which a forked process inherits.
pub(crate) fn own_children() -> std::io::Result<()> {
    set_child_action(SigHandler::SigDfl)
}

fn set_child_action(handler: SigHandler) -> std::io::Result<()> {
    // SAFETY: neither of the two installs code of ours that could interrupt anything.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, handler) }?;
    Ok(())
}

/// Lets the async runtime of the calling task wait until the descriptor is readable.
pub(crate) fn await_readable(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same, open descriptor for as long as it lives, nobody else closes it, and the
    // `AsyncFd` owns it from here on and never hands it out mutably.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From linux/keyctl.h: the number of the calling thread's session keyring, made where there is none.
    fn session_keyring() -> i64 {
        const KEYCTL_GET_KEYRING_ID: libc::c_int = 0;
        const KEY_SPEC_SESSION_KEYRING: libc::c_int = -3;
        // SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1) }
    }

    #[test]
    fn the_new_session_keyring_is_another_one() {
        // A keyring is a thread's own, and the thread ends here.
        let (before, after) = std::thread::spawn(|| {
            let before = session_keyring();
            join_new_session_keyring().unwrap();
            (before, session_keyring())
        })
        .join()
        .unwrap();
        assert!(before > 0 && after > 0 && before != after, "{before} {after}");
    }
}
