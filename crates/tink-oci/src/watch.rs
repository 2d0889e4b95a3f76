//! Waiting for something to happen in a container's state directory, or for its shim to end.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use crate::ending;
use crate::exit::ExitStatus;
use crate::process::ProcessId;
use crate::record::Record;
use crate::sys;

/// Wakes when a file in one of the watched directories changes, and whenever the shim has ended.
pub(crate) struct Watch {
    changes: AsyncFd<OwnedFd>,
    shim: Option<AsyncFd<OwnedFd>>,
}

impl Watch {
    /// Watches `dirs` and the shim of the container in `container_dir`. A directory that does not exist is not watched.
    pub(crate) fn new(container_dir: &Path, dirs: &[PathBuf]) -> std::io::Result<Self> {
        let changes = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let events = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::DELETE_SELF;
        for dir in dirs {
            match inotify::add_watch(&changes, dir, events) {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A record that cannot be read leaves us without the shim's end; its exit record still wakes us.
        let shim = Record::load(container_dir).ok().flatten().map(|record| record.shim.open()).transpose()?.flatten();
        let shim = shim.map(sys::await_readable).transpose()?;
        Ok(Self { changes: sys::await_readable(changes)?, shim })
    }

    /// Whether the end of the shim wakes, too.
    pub(crate) fn sees_shim(&self) -> bool {
        self.shim.is_some()
    }

    /// Returns after a change, or at once if the shim has ended.
    pub(crate) async fn changed(&mut self) -> std::io::Result<()> {
        tokio::select! {
            ready = self.changes.readable() => {
                let mut ready = ready?;
                drain(&self.changes)?;
                ready.clear_ready();
                Ok(())
            }
            ended = readable(self.shim.as_ref()) => ended,
        }
    }
}

/// Waits until the exit of the container in `dir` can be read or its shim has ended; `false`, at once, if the shim is not
/// there (any more, or in our PID namespace).
///
/// Cheaper than a [`Watch`]: the kernel takes milliseconds to close an inotify descriptor.
pub(crate) async fn ended(dir: &Path, shim: ProcessId) -> std::io::Result<bool> {
    let Some(shim) = shim.open()? else { return Ok(false) };
    let shim = sys::await_readable(shim)?;
    let ending = ending::watch(dir).map(sys::await_readable).transpose()?;
    if ExitStatus::is_there(dir) {
        return Ok(true);
    }
    tokio::select! {
        told = readable(ending.as_ref()) => told?,
        ended = readable(Some(&shim)) => ended?,
    }
    Ok(true)
}

/// Returns when the descriptor is readable; never where there is none.
async fn readable(fd: Option<&AsyncFd<OwnedFd>>) -> std::io::Result<()> {
    match fd {
        Some(fd) => fd.readable().await.map(drop),
        None => std::future::pending().await,
    }
}

/// Takes all events there are: which they were does not matter.
fn drain(changes: &AsyncFd<OwnedFd>) -> std::io::Result<()> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut reader = inotify::Reader::new(changes.get_ref(), &mut buffer);
    loop {
        match reader.next() {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
