//! The container's standard output and error, or its terminal, on their way into the log.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::container::Streams;
use crate::failure::{Doing, StartFailure};
use crate::log::{LogWriter, Splitter, Stream};

const READ_BYTES: usize = 64 * 1024;
/// What the kernel holds for us while we write to disk; the most that a process without privilege may ask for is 1 MiB.
const PIPE_BYTES: usize = 256 * 1024;

/// Both streams.
pub(super) struct Output {
    sources: Vec<Source>,
    /// Where the container sends its terminal, if it has one.
    terminal: Option<OwnedFd>,
    /// Ours only until the container has them.
    child_ends: Option<Streams>,
    buffer: Vec<u8>,
}

struct Source {
    stream: Stream,
    /// Gone when the stream has ended.
    pipe: Option<OwnedFd>,
    splitter: Splitter,
}

impl Output {
    /// Pipes, or with `tty` the promise of a terminal.
    pub(super) fn new(tty: bool) -> Result<Self, StartFailure> {
        if tty {
            let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
            let (terminal, shim) = pair.doing(|| "make a socket for the container's terminal".to_owned())?;
            let child_ends = Some(Streams::Terminal { shim });
            return Ok(Self { sources: Vec::new(), terminal: Some(terminal), child_ends, buffer: Vec::new() });
        }
        let (out, out_child) = pipe()?;
        let (err, err_child) = pipe()?;
        let sources = vec![Source::new(Stream::Stdout, out), Source::new(Stream::Stderr, err)];
        let child_ends = Some(Streams::Pipes { out: out_child, err: err_child });
        Ok(Self { sources, terminal: None, child_ends, buffer: Vec::new() })
    }

    /// What the container writes to, until [`Output::container_runs`].
    pub(super) fn child_ends(&self) -> Option<&Streams> {
        self.child_ends.as_ref()
    }

    /// Lets go of the container's ends, so that the streams end when it does, and takes its terminal, if it has one.
    pub(super) fn container_runs(&mut self) -> Result<(), StartFailure> {
        self.child_ends = None;
        self.buffer.resize(READ_BYTES, 0);
        if let Some(socket) = self.terminal.take() {
            let what = || "take the container's terminal".to_owned();
            let control = receive(&socket, RecvFlags::DONTWAIT).doing(what)?;
            fcntl_setfl(&control, OFlags::NONBLOCK | OFlags::RDWR).doing(what)?;
            self.sources.push(Source::new(Stream::Stdout, control));
        }
        Ok(())
    }

    /// The pipes that may give more, to be polled.
    pub(super) fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sources.iter().filter_map(|source| source.pipe.as_ref().map(AsFd::as_fd))
    }

    /// Takes what is there now, one read of each stream, into the log. `false` when there was nothing.
    pub(super) fn take(&mut self, log: &mut LogWriter) -> bool {
        let mut took = false;
        for source in &mut self.sources {
            let Some(pipe) = &source.pipe else { continue };
            let stream = source.stream;
            match rustix::io::retry_on_intr(|| read(pipe, &mut *self.buffer)) {
                Ok(0) => source.end(log),
                Ok(length) => {
                    let chunk = self.buffer.get(..length).unwrap_or_default();
                    source.splitter.feed(chunk, |line, end| log.line(stream, line, end));
                    took = true;
                }
                Err(Errno::AGAIN) => {}
                // A pipe does not fail; should it, waiting for more would be endless. A terminal that nobody has open any
                // more does (EIO), after everything in it was read.
                Err(_) => source.end(log),
            }
        }
        log.flush();
        took
    }

    /// Takes the rest: what is in the pipes after everybody who could write to them is dead.
    pub(super) fn finish(&mut self, log: &mut LogWriter) {
        while self.take(log) {}
        for source in &mut self.sources {
            source.end(log);
        }
        log.flush();
    }
}

impl Source {
    fn new(stream: Stream, pipe: OwnedFd) -> Self {
        Self { stream, pipe: Some(pipe), splitter: Splitter::default() }
    }

    fn end(&mut self, log: &mut LogWriter) {
        self.pipe = None;
        self.splitter.finish(|line, end| log.line(self.stream, line, end));
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), StartFailure> {
    let what = || "make a pipe for the container's output".to_owned();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).doing(what)?;
    // Only our end: a program may not expect its output to be non-blocking.
    fcntl_setfl(&read, OFlags::NONBLOCK).doing(what)?;
    // Smaller, where the user's pipes together are at their limit.
    let _ = fcntl_setpipe_size(&read, PIPE_BYTES);
    Ok((read, write))
}

/// The descriptor that the container sent.
pub(super) fn receive(socket: &OwnedFd, flags: RecvFlags) -> rustix::io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    let (buffers, flags) = (&mut [IoSliceMut::new(&mut byte)], RecvFlags::CMSG_CLOEXEC | flags);
    rustix::io::retry_on_intr(|| recvmsg(socket, buffers, &mut ancillary, flags))?;
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or(Errno::BADMSG)
}
