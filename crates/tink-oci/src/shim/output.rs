//! The container's standard output and error, on their way into the log.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::failure::{Doing, StartFailure};
use crate::log::{LogWriter, Splitter, Stream};

const READ_BYTES: usize = 64 * 1024;
/// What the kernel holds for us while we write to disk; the most that a process without privilege may ask for is 1 MiB.
const PIPE_BYTES: usize = 256 * 1024;

/// Both streams.
pub(super) struct Output {
    sources: [Source; 2],
    /// Ours only until the container has them.
    child_ends: Vec<OwnedFd>,
    buffer: Vec<u8>,
}

struct Source {
    stream: Stream,
    /// Gone when the stream has ended.
    pipe: Option<OwnedFd>,
    splitter: Splitter,
}

impl Output {
    pub(super) fn new() -> Result<Self, StartFailure> {
        let (out, out_child) = pipe()?;
        let (err, err_child) = pipe()?;
        let source = |stream, pipe| Source { stream, pipe: Some(pipe), splitter: Splitter::default() };
        Ok(Self {
            sources: [source(Stream::Stdout, out), source(Stream::Stderr, err)],
            child_ends: vec![out_child, err_child],
            buffer: vec![0; READ_BYTES],
        })
    }

    /// What the container writes to.
    pub(super) fn child_ends(&self) -> &[OwnedFd] {
        &self.child_ends
    }

    /// Lets go of the container's ends: the streams end when it does.
    pub(super) fn close_child_ends(&mut self) {
        self.child_ends.clear();
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
                // A pipe does not fail; should it, waiting for more would be endless.
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
