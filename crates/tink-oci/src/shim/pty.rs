//! A terminal inside the container, connected to the caller's.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::process::setsid;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::enter::code;
use crate::container::{open_terminal, send_terminal, take_terminal};
use crate::failure::{Doing, StartFailure};

/// As shells have it for a program that nobody listens to any more: 128 + SIGPIPE.
const NOT_HEARD: u8 = 141;

/// Opens a pseudo-terminal, makes it the calling process's and sends its controlling end over `to`; to be called when we
/// are in the container, so that the program finds it under its name.
pub(super) fn open(to: &OwnedFd) -> Result<(), StartFailure> {
    let (control, line) = open_terminal()?;
    resize(&control);
    setsid().doing(|| "start a session".to_owned())?;
    take_terminal(&line)?;
    send_terminal(to, &control).doing(|| "hand the terminal on".to_owned())
}

/// Carries bytes and window sizes between the caller's terminal and the program's until the program has ended, which `end`
/// tells; gives its code.
pub(super) fn relay(control: &OwnedFd, end: &mut File) -> Result<u8, StartFailure> {
    let what = || "relay the terminal".to_owned();
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGWINCH);
    mask.thread_block().doing(what)?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).doing(what)?;
    let _raw = RawMode::enter();
    let mut input_open = true;
    let mut ended: Option<u8> = None;
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        let input = stdin();
        let mut fds = vec![
            PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN),
        ];
        if input_open {
            fds.push(PollFd::from_borrowed_fd(input, PollFlags::IN));
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Once it has ended, only what it has said already is carried; a process it left may hold the line for ever.
        rustix::io::retry_on_intr(|| poll(&mut fds, ended.is_some().then_some(&now))).doing(what)?;
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let (said, signalled, told, typed) = (is_ready(0), is_ready(1), is_ready(2), is_ready(3));
        if let Some(code) = ended
            && !said
        {
            return Ok(code);
        }
        match said.then(|| copy(control, stdout(), &mut buffer)) {
            None | Some(Copied::Some) => {}
            // The last process let go of the line.
            Some(Copied::End) => return ended.map_or_else(|| code(end), Ok),
            // It ends with us.
            Some(Copied::Refused) => return Ok(NOT_HEARD),
        }
        if told && ended.is_none() {
            ended = Some(code(end)?);
        }
        if typed {
            input_open = matches!(copy(input, control, &mut buffer), Copied::Some);
        }
        if signalled {
            while let Ok(Some(_)) = signals.read_signal() {}
            resize(control);
        }
    }
}

/// Gives the program's terminal the size of the caller's, if that is one.
fn resize(control: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(stdin()) {
        let _ = tcsetwinsize(control, size);
    }
}

/// What became of what was there.
enum Copied {
    Some,
    /// There is nothing, and there will be nothing.
    End,
    /// Nobody takes it any more.
    Refused,
}

/// Carries what is there.
fn copy(from: impl AsFd, to: impl AsFd, buffer: &mut [u8]) -> Copied {
    let length = match read(&from, &mut *buffer) {
        Ok(0) => return Copied::End,
        Ok(length) => length,
        Err(Errno::INTR | Errno::AGAIN) => return Copied::Some,
        // EIO: the other end of the terminal is closed.
        Err(_) => return Copied::End,
    };
    let mut rest = buffer.get(..length).unwrap_or_default();
    while !rest.is_empty() {
        match write(&to, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // One that does not block, because another program that has it open wants it so.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&to, PollFlags::OUT)], None);
            }
            Err(_) => return Copied::Refused,
        }
    }
    Copied::Some
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
