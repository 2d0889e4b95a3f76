//! File locks: on the store, on layers in use, on what is being made.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Store, store_error};
use crate::error::ImageError;
use crate::unpack::remove_at;

/// Keeps an image's layers from being removed, by a shared `flock` on each layer's directory.
///
/// The locks end when this is dropped or the process ends. A child that outlives it takes `flock(LOCK_SH)` on
/// [`crate::Image::layers`] itself before.
#[derive(Debug)]
pub struct InUse {
    files: Vec<OwnedFd>,
}

impl InUse {
    pub(crate) fn new(files: Vec<OwnedFd>) -> Self {
        Self { files }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        for file in &self.files {
            // Not by closing alone: what another thread forks meanwhile has copies of the descriptors until its exec.
            let _ = flock(file.as_fd(), FlockOperation::Unlock);
        }
    }
}

/// The store's own lock, until dropped.
pub(super) struct StoreLock {
    _file: File,
}

impl Store {
    /// Others may add and take at the same time; nobody removes.
    pub(super) fn lock_shared(&self) -> Result<StoreLock, ImageError> {
        self.lock(FlockOperation::LockShared)
    }

    /// Nobody else adds, takes or removes.
    pub(super) fn lock_exclusive(&self) -> Result<StoreLock, ImageError> {
        self.lock(FlockOperation::LockExclusive)
    }

    fn lock(&self, how: FlockOperation) -> Result<StoreLock, ImageError> {
        let path = self.path("lock");
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let file = match open() {
            // Whoever unmounted or removed the store took the images along, but not the right to pull them again.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Self::make_directories(self.directory())?;
                open()
            }
            other => other,
        };
        let file = file.map_err(|source| store_error("open", &path, source))?;
        flock(file.as_fd(), how).map_err(|errno| store_error("lock", &path, errno))?;
        Ok(StoreLock { _file: file })
    }

    /// Waits until nobody else makes this layer, in this process or another.
    pub(super) fn lock_layer(&self, name: &str) -> Result<File, ImageError> {
        let path = self.path("tmp").join(format!("{}.lock", name.replace('/', "-")));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| store_error("open", &path, source))?;
        flock(file.as_fd(), FlockOperation::LockExclusive).map_err(|errno| store_error("lock", &path, errno))?;
        Ok(file)
    }

    /// A directory of our own in `tmp`, removed unless it is kept.
    pub(super) fn temporary(&self) -> Result<Temporary, ImageError> {
        let _lock = self.lock_shared()?;
        let path = self.path("tmp").join(random_name()?);
        rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755)).map_err(|errno| store_error("make", &path, errno))?;
        let fd = open_directory(&path)?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))
            .map_err(|errno| store_error("set the mode of", &path, errno))?;
        flock(fd.as_fd(), FlockOperation::LockExclusive).map_err(|errno| store_error("lock", &path, errno))?;
        Ok(Temporary { path, fd: Some(fd) })
    }
}

/// A directory in `tmp`, locked, so that no other process sweeps it away.
pub(super) struct Temporary {
    path: PathBuf,
    fd: Option<OwnedFd>,
}

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to its place, from where nobody removes it while the store's lock is held; it stays locked, shared.
    /// `None` = somebody else was quicker.
    pub(super) fn publish(mut self, to: &Path, _lock: &StoreLock) -> Result<Option<OwnedFd>, ImageError> {
        match rustix::fs::rename(&self.path, to) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOTEMPTY) => return Ok(None),
            Err(errno) => return Err(store_error("publish", to, errno)),
        }
        let Some(fd) = self.fd.take() else { return Ok(None) };
        flock(fd.as_fd(), FlockOperation::LockShared).map_err(|errno| store_error("lock", to, errno))?;
        Ok(Some(fd))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.fd.is_some()
            && let Err(error) = remove_tree(&self.path)
        {
            tracing::warn!(error = %error.chain(), "what a pull left behind is removed when the store is opened next");
        }
    }
}

/// Takes a shared lock on a layer's directory; `None` = there is no such layer.
pub(super) fn hold(path: &Path) -> Result<Option<OwnedFd>, ImageError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => {
            flock(fd.as_fd(), FlockOperation::LockShared).map_err(|errno| store_error("lock", path, errno))?;
            Ok(Some(fd))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(store_error("open", path, errno)),
    }
}

/// True if nobody holds the directory. Only meaningful under the store's exclusive lock.
pub(super) fn is_free(path: &Path) -> Result<bool, ImageError> {
    let fd = open_directory(path)?;
    match flock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(store_error("lock", path, errno)),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, ImageError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| store_error("open", path, errno))
}

pub(super) fn flock(fd: BorrowedFd<'_>, how: FlockOperation) -> Result<(), Errno> {
    loop {
        match rustix::fs::flock(fd, how) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Removes a file or a whole directory; missing is fine.
pub(super) fn remove_tree(path: &Path) -> Result<(), ImageError> {
    use std::os::unix::ffi::OsStrExt as _;
    let failed = |errno| store_error("remove", path, errno);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = open_directory(parent)?;
    remove_at(parent.as_fd(), name.as_bytes()).map_err(failed)
}

pub(crate) fn random_name() -> Result<String, ImageError> {
    let mut bytes = [0_u8; 12];
    let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| store_error("find a name in", Path::new("tmp"), errno))?;
    Ok(bytes[..got].iter().map(|byte| format!("{byte:02x}")).collect())
}
