//! While the container runs: its output into the log, its orphans reaped, signals passed on; and when its program has
//! ended, everything else in it, too.

use std::os::fd::AsFd;

use nix::libc::c_int;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

use super::owner::Owner;
use crate::boot::uptime_ms;
use crate::exit::Outcome;
use crate::spec::PidNamespace;
use crate::{members, process};

/// How long what is left of a container may take to die of SIGKILL before its exit is written all the same.
const KILL_DEADLINE_MS: u64 = 10_000;

/// How often those are looked at whose end nothing tells.
const GUESTS_LOOK_MS: u64 = 2;

/// How it ended.
pub(super) struct Supervised {
    pub(super) outcome: Outcome,
    /// Processes that did not die of SIGKILL.
    pub(super) unkillable: u32,
}

/// The signals the shim acts on.
pub(super) fn signals() -> SigSet {
    [NixSignal::SIGCHLD, NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGQUIT, NixSignal::SIGHUP]
        .into_iter()
        .collect()
}

/// Returns when the program has ended and nothing of the container is left.
pub(super) fn supervise(owner: &mut Owner, init: Pid) -> Supervised {
    let mut life = Life { init, ended: None };
    let mut deadline = None;
    let mut has_guests = false;
    loop {
        let limit = if has_guests { Some(GUESTS_LOOK_MS) } else { deadline.map(left_until) };
        let ready = wait_for_events(owner, limit);
        owner.output.take(&mut owner.log);
        pass_signals_on(owner, init);
        let has_children = life.reap();
        let Some(status) = life.ended else { continue };
        let until = *deadline.get_or_insert_with(|| uptime_ms() + KILL_DEADLINE_MS);
        has_guests = !has_children && are_guests_there(owner);
        let is_empty = !has_children && !has_guests;
        if !is_empty {
            // Each round anew: killing a parent makes its children ours.
            kill_the_rest(owner);
        }
        let is_late = ready == 0 && left_until(until) == 0;
        if !is_empty && !is_late {
            continue;
        }
        owner.output.finish(&mut owner.log);
        let unkillable = if is_empty { 0 } else { count_the_rest(owner) };
        return Supervised { outcome: outcome(status), unkillable };
    }
}

fn left_until(moment_ms: u64) -> u64 {
    moment_ms.saturating_sub(uptime_ms())
}

/// Whether there are processes that are no descendants of ours: programs run in it by [`crate::exec_command`]. In a PID
/// namespace of the container's own none outlives its program.
fn are_guests_there(owner: &Owner) -> bool {
    owner.spec.pid == PidNamespace::Host && members::are_there(&owner.cgroups.own, &owner.dir)
}

/// Waits until there is output or a signal; returns how many of them are ready.
fn wait_for_events(owner: &Owner, limit_ms: Option<u64>) -> usize {
    let mut fds: Vec<PollFd<'_>> =
        owner.output.pipes().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)).collect();
    fds.push(PollFd::from_borrowed_fd(owner.signals.as_fd(), PollFlags::IN));
    let limit = limit_ms.map(|ms| Timespec {
        tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(ms % 1000).unwrap_or(0) * 1_000_000,
    });
    // An error (EINTR cannot come, all is blocked; ENOMEM can) is a round without news.
    poll(&mut fds, limit.as_ref()).unwrap_or(1)
}

/// Takes the signals that came. Whoever wants the shim to end wants the container to end.
fn pass_signals_on(owner: &Owner, init: Pid) {
    while let Ok(Some(signal)) = owner.signals.read_signal() {
        if c_int::try_from(signal.ssi_signo) != Ok(NixSignal::SIGCHLD as c_int) {
            // Not reaped yet (that comes after), so the number is still its own.
            let _ = kill_process(init, Signal::TERM);
        }
    }
}

/// The program's life.
struct Life {
    init: Pid,
    ended: Option<WaitStatus>,
}

impl Life {
    /// Takes every child that has ended, the program or an orphan of it; `false` when there are none left at all.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.init => self.ended = Some(status),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// With a PID namespace of its own the kernel has killed everything already; otherwise orphans have become our children,
/// and processes whose parents live, or are none of ours, are in the container's cgroups.
fn kill_the_rest(owner: &Owner) {
    members::kill_all(&owner.cgroups.own, &owner.dir);
    for process in process::descendants(own_pid()) {
        // Gone already is as good.
        let _ = process.signal(Signal::KILL);
    }
}

fn count_the_rest(owner: &Owner) -> u32 {
    let mut left = members::pids(&owner.cgroups.own, &owner.dir);
    left.extend(process::descendants(own_pid()).iter().map(|process| process.pid));
    left.sort_unstable();
    left.dedup();
    u32::try_from(left.len()).unwrap_or(u32::MAX)
}

fn own_pid() -> i32 {
    getpid().as_raw_nonzero().get()
}

fn outcome(status: WaitStatus) -> Outcome {
    match status.terminating_signal() {
        Some(signal) => Outcome::Signaled { signal },
        None => Outcome::Exited { code: status.exit_status().unwrap_or(0) },
    }
}
