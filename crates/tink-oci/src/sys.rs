//! The three things that need `unsafe`: forking, giving signals their default action back, and waiting for a descriptor
//! in the async runtime.

#![expect(unsafe_code, reason = "these have no safe wrapper; each block says why it is sound here")]

use std::os::fd::OwnedFd;

use nix::libc;
use nix::sys::signal::SigSet;
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

/// Lets the async runtime of the calling task wait until the descriptor is readable.
pub(crate) fn await_readable(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same, open descriptor for as long as it lives, nobody else closes it, and the
    // `AsyncFd` owns it from here on and never hands it out mutably.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(Into::into)
}
