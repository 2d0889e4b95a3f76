//! A terminal inside the container, connected to the caller's.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::process::{Pid, WaitOptions, WaitStatus, setsid, waitpid};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::container::{open_terminal, take_terminal};
use crate::failure::{Doing, StartFailure};

/// Both ends of a pseudo-terminal of the container.
pub(super) struct Terminal {
    /// Ours.
    control: OwnedFd,
    /// The program's.
    line: OwnedFd,
}

impl Terminal {
    /// Opens a pseudo-terminal; to be called when we are in the container, so that the program finds it under its name.
    pub(super) fn open() -> Result<Self, StartFailure> {
        let (control, line) = open_terminal()?;
        let terminal = Self { control, line };
        terminal.resize();
        Ok(terminal)
    }

    /// Makes it the calling process's terminal.
    pub(super) fn take_over(&self) -> Result<(), StartFailure> {
        setsid().doing(|| "start a session".to_owned())?;
        take_terminal(&self.line)
    }

    /// Carries bytes and window sizes between the caller's terminal and the program's until the program has ended.
    pub(super) fn relay(self, child: Pid) -> Result<WaitStatus, StartFailure> {
        let Self { control, line } = self;
        drop(line);
        let what = || "relay the terminal".to_owned();
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.add(Signal::SIGWINCH);
        mask.thread_block().doing(what)?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).doing(what)?;
        let _raw = RawMode::enter();
        let mut input_open = true;
        let mut ended: Option<WaitStatus> = None;
        let mut buffer = vec![0_u8; 16 * 1024];
        loop {
            // The program may have ended before its signal could reach us.
            if ended.is_none() {
                ended = waitpid(Some(child), WaitOptions::NOHANG).doing(what)?.map(|(_, status)| status);
            }
            let input = stdin();
            let mut fds = vec![
                PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            ];
            if input_open {
                fds.push(PollFd::from_borrowed_fd(input, PollFlags::IN));
            }
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            // Once it has ended, only what it has said already is carried; a process it left may hold the line for ever.
            let ready = rustix::io::retry_on_intr(|| poll(&mut fds, ended.is_some().then_some(&now))).doing(what)?;
            let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
            let (said, signalled, typed) = (is_ready(0), is_ready(1), is_ready(2));
            if let Some(status) = ended
                && (ready == 0 || !said)
            {
                return Ok(status);
            }
            if said && !copy(&control, stdout(), &mut buffer) {
                // The last process let go of the line.
                let status = rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
                return match ended {
                    Some(status) => Ok(status),
                    None => status.doing(what)?.map(|(_, status)| status).ok_or_else(|| StartFailure::setup(what())),
                };
            }
            if typed {
                input_open = copy(input, &control, &mut buffer);
            }
            if signalled {
                while let Ok(Some(_)) = signals.read_signal() {}
                resize(&control);
            }
        }
    }

    fn resize(&self) {
        resize(&self.control);
    }
}

/// Gives the program's terminal the size of the caller's, if that is one.
fn resize(control: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(stdin()) {
        let _ = tcsetwinsize(control, size);
    }
}

/// Carries what is there; `false` at the end.
fn copy(from: impl AsFd, to: impl AsFd, buffer: &mut [u8]) -> bool {
    let length = match read(&from, &mut *buffer) {
        Ok(0) => return false,
        Ok(length) => length,
        Err(Errno::INTR | Errno::AGAIN) => return true,
        // EIO: the other end of the terminal is closed.
        Err(_) => return false,
    };
    let mut rest = buffer.get(..length).unwrap_or_default();
    while !rest.is_empty() {
        match write(&to, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// The caller's terminal passes every key on, until this is dropped.
struct RawMode {
    before: Option<Termios>,
}

impl RawMode {
    fn enter() -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(stdin(), OptionalActions::Now, &raw);
        }
        Self { before }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}
