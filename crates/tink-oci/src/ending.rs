//! How waiters learn that a container's exit can be read, before its shim has ended: by a named pipe in the state directory,
//! through which nothing is sent. The shim has it open for writing until it has written the exit, and so until it dies at
//! the latest; for readers it ends then.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::io::Errno;

const END_FILE: &str = "end";

/// The shim's end.
#[derive(Debug)]
pub(crate) struct Ending {
    _held: File,
}

impl Ending {
    /// Makes the pipe, and holds it.
    pub(crate) fn hold(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join(END_FILE);
        match mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // For reading, too: to open it for writing alone would wait for a reader.
        let held = File::options().read(true).write(true).open(path)?;
        Ok(Self { _held: held })
    }
}

/// The waiters' end: readable once the shim has let go of the pipe. Of one that had done so before nobody hears again: look
/// for the exit after this.
///
/// Nothing where the shim could not make a pipe, on a file system that has none.
pub(crate) fn watch(dir: &Path) -> Option<OwnedFd> {
    open(dir.join(END_FILE), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_told(watch: &OwnedFd) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    #[test]
    fn every_waiter_is_told_when_the_shim_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        assert!(watch(dir.path()).is_none());
        let ending = Ending::hold(dir.path()).unwrap();
        let waiters = [watch(dir.path()).unwrap(), watch(dir.path()).unwrap()];
        assert!(!waiters.iter().any(is_told));
        drop(ending);
        assert!(waiters.iter().all(is_told));
        // A later one has to look for the exit.
        assert!(!is_told(&watch(dir.path()).unwrap()));
    }

    #[test]
    fn the_pipe_of_a_shim_that_was_killed_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        drop(Ending::hold(dir.path()).unwrap());
        let ending = Ending::hold(dir.path()).unwrap();
        let waiter = watch(dir.path()).unwrap();
        assert!(!is_told(&waiter));
        drop(ending);
        assert!(is_told(&waiter));
    }
}
