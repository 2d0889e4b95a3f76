//! The layer's root directory, and the walk from it to any directory below it without ever leaving it.
//!
//! The quick way is `openat2` (Linux 5.6) with `RESOLVE_BENEATH` and no symbolic links. Whatever it refuses – links,
//! missing directories, an older kernel – takes the walk: one `openat` a component with `O_NOFOLLOW`, links resolved by
//! hand inside the root. Nobody else writes into the directory meanwhile; the store's directory is ours.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::LayerError;
use crate::tar::shown;

/// Deepest directory; honest images stay below 60.
pub(super) const DEPTH_MAX: usize = 200;
/// Most symbolic links followed for one path, as the kernel has it.
const LINKS_MAX: usize = 40;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open directory and its path from the root, links resolved.
#[derive(Clone)]
pub(crate) struct Dir {
    pub(crate) fd: Rc<OwnedFd>,
    pub(crate) path: Vec<u8>,
}

/// A directory that is a root.
pub(crate) struct Root {
    top: Dir,
    beneath: bool,
    cached: Option<(Vec<u8>, Dir)>,
    /// Directories made for what lies in them, described by no entry so far.
    pub(super) implicit: BTreeSet<Vec<u8>>,
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, LayerError> {
        let fd = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(|errno| failed("open", b".", errno))?;
        let top = Dir { fd: Rc::new(fd), path: Vec::new() };
        let implicit = BTreeSet::from([Vec::new()]);
        Ok(Self { top, beneath: true, cached: None, implicit })
    }

    /// Never asks for `openat2`, as on a kernel before 5.6.
    #[cfg(test)]
    pub(super) fn without_openat2(mut self) -> Self {
        self.beneath = false;
        self
    }

    pub(crate) fn top(&self) -> &Dir {
        &self.top
    }

    /// The directory at `parts`, made where it is missing if `create`; `None` where it is missing and not made.
    pub(crate) fn directory(&mut self, parts: &[&[u8]], create: bool) -> Result<Option<Dir>, LayerError> {
        if parts.is_empty() {
            return Ok(Some(self.top.clone()));
        }
        let wanted = parts.join(&b'/');
        if let Some((path, dir)) = &self.cached
            && *path == wanted
        {
            return Ok(Some(dir.clone()));
        }
        if parts.len() > DEPTH_MAX {
            return Err(LayerError::Depth { path: shown(&wanted) });
        }
        let dir = match self.open_beneath(&wanted)? {
            Some(dir) => dir,
            None => match self.walk(parts, create, &wanted)? {
                Some(dir) => dir,
                None => return Ok(None),
            },
        };
        self.cached = Some((wanted, dir.clone()));
        Ok(Some(dir))
    }

    /// To be called whenever a directory or link may have gone.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.cached = None;
        let below = [path, b"/"].concat();
        self.implicit.retain(|known| known != path && !known.starts_with(&below));
    }

    fn open_beneath(&mut self, path: &[u8]) -> Result<Option<Dir>, LayerError> {
        if !self.beneath {
            return Ok(None);
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(self.top.fd.as_fd(), path, DIRECTORY, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(Dir { fd: Rc::new(fd), path: path.to_vec() })),
            // No such call, or a filter that does not know it: never ask again.
            Err(Errno::NOSYS | Errno::PERM) => {
                self.beneath = false;
                Ok(None)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::AGAIN) => Ok(None),
            Err(errno) => Err(failed("open the directory", path, errno)),
        }
    }

    fn walk(&mut self, parts: &[&[u8]], create: bool, wanted: &[u8]) -> Result<Option<Dir>, LayerError> {
        let mut stack = vec![self.top.clone()];
        let mut todo: VecDeque<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            let Some(here) = stack.last().cloned() else { break };
            match name.as_slice() {
                b"" | b"." => continue,
                // The root's parent is the root, as inside any container.
                b".." => {
                    if stack.len() > 1 {
                        stack.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let path = join(&here.path, &name);
            if stack.len() > DEPTH_MAX || path.len() > crate::tar::PATH_BYTES_MAX {
                return Err(LayerError::Depth { path: shown(wanted) });
            }
            match rustix::fs::openat(here.fd.as_fd(), name.as_slice(), DIRECTORY, Mode::empty()) {
                Ok(fd) => stack.push(Dir { fd: Rc::new(fd), path }),
                Err(Errno::NOENT) if create => {
                    let fd = make_directory(here.fd.as_fd(), &name, &path)?;
                    self.implicit.insert(path.clone());
                    stack.push(Dir { fd: Rc::new(fd), path });
                }
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let stat = rustix::fs::statat(here.fd.as_fd(), name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(|errno| failed("look at", &path, errno))?;
                    let kind = FileType::from_raw_mode(stat.st_mode);
                    if kind == FileType::Symlink {
                        links += 1;
                        if links > LINKS_MAX {
                            return Err(LayerError::Depth { path: shown(wanted) });
                        }
                        let target = rustix::fs::readlinkat(here.fd.as_fd(), name.as_slice(), Vec::new())
                            .map_err(|errno| failed("read the link", &path, errno))?;
                        let target = target.as_bytes();
                        if target.starts_with(b"/") {
                            stack.truncate(1);
                        }
                        for part in target.split(|b| *b == b'/').rev() {
                            todo.push_front(part.to_vec());
                        }
                    } else if create && kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                        // The layer deletes what was here and puts a directory of its own in its place.
                        let fd = replace_whiteout(here.fd.as_fd(), &name, &path)?;
                        self.implicit.insert(path.clone());
                        stack.push(Dir { fd: Rc::new(fd), path });
                    } else if create {
                        return Err(LayerError::NotADirectory { path: shown(wanted) });
                    } else {
                        return Ok(None);
                    }
                }
                Err(errno) => return Err(failed("open the directory", &path, errno)),
            }
        }
        Ok(stack.pop())
    }
}

/// Makes a directory with mode 0755, whatever the umask, and opens it.
pub(super) fn make_directory(at: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, LayerError> {
    rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755))
        .map_err(|errno| failed("make the directory", path, errno))?;
    let fd = open_directory(at, name).map_err(|errno| failed("open the directory", path, errno))?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755)).map_err(|errno| failed("set the mode of", path, errno))?;
    Ok(fd)
}

pub(super) fn replace_whiteout(at: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, LayerError> {
    rustix::fs::unlinkat(at, name, AtFlags::empty()).map_err(|errno| failed("replace", path, errno))?;
    let fd = make_directory(at, name, path)?;
    super::whiteout::set_opaque(fd.as_fd(), path)?;
    Ok(fd)
}

pub(super) fn open_directory(at: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(at, name, DIRECTORY, Mode::empty())
}

/// Removes a file or a whole directory, never following a link. Missing is fine.
pub(crate) fn remove_at(at: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let fd = match open_directory(at, name) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut names = Vec::new();
    for found in rustix::fs::Dir::read_from(&fd)? {
        let found = found?;
        let found = found.file_name().to_bytes();
        if found != b"." && found != b".." {
            names.push(found.to_vec());
        }
    }
    for found in names {
        remove_at(fd.as_fd(), &found)?;
    }
    match rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

pub(super) fn failed(operation: &'static str, path: &[u8], errno: Errno) -> LayerError {
    LayerError::Io { operation, path: shown(path), source: io::Error::from(errno) }
}
