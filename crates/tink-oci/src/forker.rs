//! The forker: a small process of one thread beside the launcher, which forks shims where the launcher, with its threads,
//! could only start its binary again. There is always one more than are needed, which waits for the next order.
//!
//! ```text
//! launcher ─────order────▶ spare, a shim from now on
//!                            ▲ fork        │ "taken", and the end of the pipe when the container has ended
//!                          forker ◀────────┘
//! ```
//!
//! To load a static binary of ten megabytes, to relocate it and to let its C library find out about the processor (an
//! instruction that a virtual machine takes tens of microseconds for) takes as long as to build a container. A fork spares
//! that, and the shims share their memory with the forker.
//!
//! It ends when the launcher does, however that ends: then its socket is closed. Where it was not started, or is gone, the
//! binary is started again.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use nix::libc::PATH_MAX;
use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, chdir, kill_process, set_parent_process_death_signal, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::background::close_all_but;
use crate::container::ReadyDev;
use crate::failure::Doing;
use crate::shim::{self, Ready, SHIM_NAME};
use crate::sys::{self, Forked, OneThread};

/// What it calls itself; as the kernel knows processes, too: at most 15 bytes.
const FORKER_NAME: &str = "tink-forker";

/// How long a container usually takes to start, with room to spare.
const START_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// The launcher's end.
struct Forker {
    socket: OwnedFd,
    pid: Pid,
}

/// One for the process: who launches is a function that anybody calls.
static FORKER: Mutex<Option<Forker>> = Mutex::new(None);

/// Starts the forker, which all later launches of this process use; in the forker, when it ends or has become a shim that
/// ends, the code to end with.
///
/// To be called in `main`, while there is one thread; with more than one, and where the kernel refuses, nothing happens
/// and launches are slower.
#[must_use]
pub fn start_forker() -> Option<ExitCode> {
    let alone = OneThread::check().ok()?;
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).ok()?;
    // Nothing that is meant for the launcher ends it.
    let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).ok()?;
    let forked = sys::fork(&alone);
    if matches!(forked, Ok(Forked::Child)) {
        drop(ours);
        return Some(serve(theirs, &alone));
    }
    let _ = before.thread_set_mask();
    if let Ok(Forked::Parent(pid)) = forked {
        *FORKER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Forker { socket: ours, pid });
    }
    None
}

/// Ends the forker: for a program that turns out to launch nothing.
pub fn end_forker() {
    drop(FORKER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

impl Drop for Forker {
    fn drop(&mut self) {
        // With all it has not taken yet. Its number is its own until it is waited for, which nobody else does.
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()));
    }
}

/// Orders a shim for the state directory; whether there is somebody who took the order. The shim gets its sign of life,
/// the way to its launcher and its own log.
pub(crate) fn order(dir: &Path, lock: BorrowedFd<'_>, launcher: BorrowedFd<'_>, log: BorrowedFd<'_>) -> bool {
    let mut forker = FORKER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(socket) = forker.as_ref().map(|forker| forker.socket.as_fd()) else { return false };
    let descriptors = [lock, launcher, log];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let text = [IoSlice::new(dir.as_os_str().as_bytes())];
    let sent = rustix::io::retry_on_intr(|| sendmsg(socket, &text, &mut ancillary, SendFlags::NOSIGNAL));
    if sent.is_err() {
        // Killed, or a path that is too long.
        *forker = None;
    }
    sent.is_ok()
}

/// What a shim is ordered with.
struct Order {
    dir: PathBuf,
    lock: OwnedFd,
    launcher: OwnedFd,
    log: OwnedFd,
}

/// The forker's life. Comes back in the shims, too.
fn serve(socket: OwnedFd, alone: &OneThread) -> ExitCode {
    // Before the environment goes.
    tink_failpoint::hit("forker.started");
    let title = Title::take();
    let prepared = prepare(&socket);
    title.set(FORKER_NAME, FORKER_NAME);
    if prepared.is_err() {
        return ExitCode::FAILURE;
    }
    // The spare's `/dev`: made while nobody waits for it.
    let mut dev = None;
    loop {
        // What fails here ends the forker, and with it the spare: the launcher sees that and does without.
        let Ok((from_spare, to_forker)) = pipe_with(PipeFlags::CLOEXEC) else { return ExitCode::FAILURE };
        match sys::fork(alone) {
            Ok(Forked::Child) => {
                drop(from_spare);
                return wait_for_order(socket, File::from(to_forker), dev, &title, alone);
            }
            Ok(Forked::Parent(_)) => {
                drop(to_forker);
                dev = ReadyDev::make().ok();
                let mut from_spare = File::from(from_spare);
                if !is_taken(&socket, &mut from_spare) {
                    return ExitCode::SUCCESS;
                }
                give_way(&socket, &from_spare);
            }
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

/// Waits until the spare has an order. `false` if it never will: the launcher or the spare has ended.
fn is_taken(socket: &OwnedFd, from_spare: &mut File) -> bool {
    let mut fds = [PollFd::new(from_spare, PollFlags::IN), PollFd::new(socket, PollFlags::empty())];
    // Both could be: an order that was taken is the launcher's last one then.
    let polled = rustix::io::retry_on_intr(|| poll(&mut fds, None));
    polled.is_ok() && !fds[1].revents().contains(PollFlags::HUP) && from_spare.read(&mut [0]).is_ok_and(|n| n == 1)
}

/// Lets the shim have the processors while it builds its container, unless there is another order already.
fn give_way(socket: &OwnedFd, from_shim: &File) {
    let mut fds = [PollFd::new(from_shim, PollFlags::empty()), PollFd::new(socket, PollFlags::IN)];
    // Whatever comes of it, the next spare is due.
    let _ = poll(&mut fds, Some(&START_TIME));
}

/// The spare's life, and then the shim's.
fn wait_for_order(
    socket: OwnedFd,
    mut to_forker: File,
    dev: Option<ReadyDev>,
    title: &Title,
    alone: &OneThread,
) -> ExitCode {
    // Whoever ends the forker means the orders that are not taken yet, too.
    let ready = set_parent_process_death_signal(Some(Signal::KILL))
        .doing(|| "tie the spare shim to its forker".to_owned())
        .and_then(|()| sys::own_children().doing(|| "be told of children's ends".to_owned()))
        .and_then(|()| Ready::prepare(dev));
    let Ok(ready) = ready else { return ExitCode::FAILURE };
    // For want of descriptors or memory an order is not understood: that launch fails, its pipe was closed.
    let Ok(Some(order)) = receive(&socket) else { return ExitCode::FAILURE };
    if set_parent_process_death_signal(None).is_err() || to_forker.write_all(b"t").is_err() {
        return ExitCode::FAILURE;
    }
    // Else nobody would see the forker die.
    drop(socket);
    let Order { dir, lock, launcher, log } = order;
    let _ = dup2_stderr(&log);
    drop(log);
    title.set(SHIM_NAME, &format!("{SHIM_NAME} {} {}", shim::LAUNCH_ARGUMENT, dir.display()));
    shim::own(&dir, ready, File::from(lock), File::from(launcher), Some(to_forker), alone)
}

/// Lets go of everything that is the launcher's, and of the shims: nobody waits for them.
fn prepare(socket: &OwnedFd) -> std::io::Result<()> {
    chdir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    drop(null);
    close_all_but(socket.as_fd());
    sys::disown_children()
}

/// The next order; nothing when there will be none any more.
fn receive(socket: &OwnedFd) -> rustix::io::Result<Option<Order>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = vec![0_u8; usize::try_from(PATH_MAX).unwrap_or(4096)];
    let mut buffers = [IoSliceMut::new(&mut text)];
    let received =
        rustix::io::retry_on_intr(|| recvmsg(socket, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<OwnedFd>>(),
        _ => Vec::new(),
    });
    let (Some(lock), Some(launcher), Some(log)) = (descriptors.next(), descriptors.next(), descriptors.next()) else {
        return Err(Errno::BADMSG);
    };
    text.truncate(received.bytes);
    Ok(Some(Order { dir: PathBuf::from(OsStr::from_bytes(&text)), lock, launcher, log }))
}

/// Where the kernel shows the process's arguments and environment from: the launcher's, and with that its secrets.
struct Title {
    start: u64,
    room: usize,
}

impl Title {
    /// Finds the place, and wipes it. Without a `/proc` nobody sees it either.
    fn take() -> Self {
        let title = Self::find().unwrap_or(Self { start: 0, room: 0 });
        title.write(&[]);
        title
    }

    /// Fields 48 to 51 of `stat`, in proc(5): where the arguments start, where they end, and the same of the environment,
    /// which follows.
    fn find() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let field = |number| crate::process::stat_field(&stat, number);
        let (start, args_end, environment, end) = (field(48)?, field(49)?, field(50)?, field(51)?);
        let end = if environment == args_end { end } else { args_end };
        Some(Self { start, room: usize::try_from(end.checked_sub(start)?).ok()? })
    }

    /// Shows `name` as the process's name and `line` as its command line, as much of it as there is room for.
    fn set(&self, name: &str, line: &str) {
        if let Ok(name) = std::ffi::CString::new(name) {
            let _ = rustix::thread::set_name(&name);
        }
        self.write(line.as_bytes());
    }

    fn write(&self, line: &[u8]) {
        let mut bytes = vec![0_u8; self.room];
        // The last byte stays zero: the end of it.
        let kept = line.get(..line.len().min(self.room.saturating_sub(1))).unwrap_or_default();
        bytes.iter_mut().zip(kept).for_each(|(to, from)| *to = *from);
        // Through the file, for what is there is still the standard library's to read: it reads empty texts from now on.
        if let Ok(memory) = File::options().write(true).open("/proc/self/mem") {
            let _ = memory.write_all_at(&bytes, self.start);
        }
    }
}
