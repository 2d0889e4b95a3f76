//! The three things that need `unsafe`: forking, giving signals their default action back, and waiting for a descriptor
//! in the async runtime.

#![expect(unsafe_code, reason = "these have no safe wrapper; each block says why it is sound here")]

use std::os::fd::OwnedFd;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
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

/// Forks; refuses with `EBUSY` in a process that has more than one thread, where the child could inherit a held lock.
pub(crate) fn fork() -> std::io::Result<Forked> {
    if std::fs::read_dir("/proc/self/task")?.take(2).count() != 1 {
        return Err(rustix::io::Errno::BUSY.into());
    }
    // SAFETY: no other thread exists (checked above), so no lock of the allocator or of the standard library can be held
    // by a thread that the child would lack, and the child may run any code.
    match unsafe { nix_fork() }? {
        ForkResult::Child => Ok(Forked::Child),
        ForkResult::Parent { child } => {
            Pid::from_raw(child.as_raw()).map(Forked::Parent).ok_or_else(|| rustix::io::Errno::SRCH.into())
        }
    }
}

/// Gives every signal its default action and unblocks all, as a program expects to find them at exec.
///
/// Exec keeps ignored signals ignored, and the standard library ignores SIGPIPE.
pub(crate) fn default_signals() -> std::io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: `SIG_DFL` installs no handler, so no code of ours can be interrupted by one.
        unsafe { sigaction(signal, &default) }?;
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
