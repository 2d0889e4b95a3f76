//! Process 1 of a PID namespace, whose children all orphans in it become: the shims of containers and what they leave.
//!
//! They are nobody's to wait for but process 1's, and a program that also has children of its own, of which the standard
//! library or an async runtime takes the ends, cannot wait for just any. So the two are kept apart.

use std::process::ExitCode;

use nix::libc::c_int;
use nix::sys::signal::{SigSet, Signal as NixSignal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid as NixPid;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, wait};

use crate::sys::{self, Forked, OneThread};

/// If this process is process 1, goes on in a child and stays behind as the child's keeper, which passes signals on to it,
/// reaps whatever ends, and ends as it does: the code to end with. Nothing in the child, and in any other process.
///
/// To be called first thing in `main`, while there is one thread. Without a `/proc`, which could not be mounted yet, a
/// process 1 goes on alone.
#[must_use]
pub fn keep_if_first_process() -> Option<ExitCode> {
    if !getpid().is_init() {
        return None;
    }
    let alone = OneThread::check().ok()?;
    let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).ok()?;
    let child = SignalFd::new(&SigSet::all()).ok().zip(sys::fork(&alone).ok());
    match child {
        Some((signals, Forked::Parent(child))) => Some(keep(&signals, child)),
        Some((_, Forked::Child)) | None => {
            let _ = before.thread_set_mask();
            None
        }
    }
}

fn keep(signals: &SignalFd, child: Pid) -> ExitCode {
    loop {
        // Cannot fail but for want of memory; then it is asked again.
        let Ok(Some(signal)) = signals.read_signal() else { continue };
        let number = c_int::try_from(signal.ssi_signo).unwrap_or(0);
        if number == NixSignal::SIGCHLD as c_int {
            if let Some(status) = reap(child) {
                return ExitCode::from(code(status));
            }
        } else if signal.ssi_code <= 0
            && let Ok(signal) = NixSignal::try_from(number)
        {
            // Sent by a process. What the terminal sends it sends to the child, too.
            let _ = kill(NixPid::from_raw(child.as_raw_nonzero().get()), signal);
        }
    }
}

/// Takes everything that has ended; how the child did if that is among it.
fn reap(child: Pid) -> Option<WaitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = rustix::io::retry_on_intr(|| wait(WaitOptions::NOHANG)) {
        if pid == child {
            ended = Some(status);
        }
    }
    ended
}

/// In the shells' way.
fn code(status: WaitStatus) -> u8 {
    let code = status.terminating_signal().map_or_else(|| status.exit_status().unwrap_or(0), |signal| 128 + signal);
    u8::try_from(code).unwrap_or(u8::MAX)
}
