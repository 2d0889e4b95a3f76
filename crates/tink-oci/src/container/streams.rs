//! The program's standard streams: pipes to the shim, or a terminal of the container's own.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, Uid, fchown, open};
use rustix::mount::mount_bind;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, ptsname, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::User;
use crate::failure::{Doing, StartFailure};

/// Where terminals are shown to programs that ask for the machine's own.
const CONSOLE: &str = "/dev/console";

/// What the program's streams become.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Pipes for output and errors; there is nothing to read.
    Pipes {
        /// Standard output.
        out: OwnedFd,
        /// Standard error.
        err: OwnedFd,
    },
    /// A terminal, whose controlling end is sent to the shim over this socket.
    Terminal {
        /// To the shim.
        shim: OwnedFd,
    },
}

impl Streams {
    /// Sets them. Called inside the container, so that its own devices are what the program has; `null` is for one that
    /// has none. In a `/dev` that is not the container's own nothing is made.
    pub(super) fn set(&self, null: &File, user: &User, own_dev: bool) -> Result<(), StartFailure> {
        let what = || "set the standard streams".to_owned();
        match self {
            Self::Pipes { out, err } => {
                match File::open("/dev/null") {
                    Ok(own) => dup2_stdin(&own).doing(what)?,
                    Err(_) => dup2_stdin(null).doing(what)?,
                }
                dup2_stdout(out).and_then(|()| dup2_stderr(err)).doing(what)
            }
            Self::Terminal { shim } => {
                let (control, line) = open_terminal()?;
                // The user's own to open again by its name.
                fchown(&line, Some(Uid::from_raw(user.uid)), None).doing(what)?;
                if own_dev {
                    show_as_console(&control);
                }
                take_terminal(&line)?;
                send_terminal(shim, &control).doing(|| "hand the terminal to the shim".to_owned())
            }
        }
    }
}

/// Opens a pseudo-terminal of the container that we are in: its controlling end, and the one for a program.
pub(crate) fn open_terminal() -> Result<(OwnedFd, OwnedFd), StartFailure> {
    let what = || "open a terminal in the container".to_owned();
    let control = open("/dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .or_else(|_| open("/dev/ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()))
        .doing(what)?;
    unlockpt(&control).doing(what)?;
    let line =
        ioctl_tiocgptpeer(&control, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).doing(what)?;
    Ok((control, line))
}

/// Makes it the terminal of the calling process, which leads a session without one.
pub(crate) fn take_terminal(line: &OwnedFd) -> Result<(), StartFailure> {
    let what = || "take the terminal".to_owned();
    ioctl_tiocsctty(line).doing(what)?;
    dup2_stdin(line).and_then(|()| dup2_stdout(line)).and_then(|()| dup2_stderr(line)).doing(what)
}

/// The console of a container whose `/dev` is its own is its terminal. Best effort.
fn show_as_console(control: &OwnedFd) {
    if Path::new(CONSOLE).exists() {
        return;
    }
    if let Ok(name) = ptsname(control, Vec::new())
        && File::options().write(true).create_new(true).open(CONSOLE).is_ok()
    {
        let _ = mount_bind(name.as_c_str(), CONSOLE);
    }
}

/// Sends the controlling end of a terminal.
pub(crate) fn send_terminal(to: &OwnedFd, control: &OwnedFd) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [control.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(to, &[IoSlice::new(b"t")], &mut ancillary, SendFlags::empty()).map(drop)
}
