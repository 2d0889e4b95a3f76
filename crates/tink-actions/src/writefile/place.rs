//! Where in a file system a file goes: its directory, made where it is missing, and its name there.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use tink_oci::{Missing, Root};

use super::Config;
use crate::ActionError;

/// Links followed at the end of one path, as the kernel allows.
const LINKS_MAX: u32 = 40;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A file's directory and its name there.
pub struct Place {
    pub directory: OwnedFd,
    pub name: OsString,
    /// User and group of the file that is there already.
    pub owner: Option<(u32, u32)>,
}

impl Place {
    /// Finds the place of the file; missing directories are made as the settings say.
    pub fn find(root: &Root, config: &Config) -> Result<Self, ActionError> {
        let io = |doing| ActionError::io(doing, config.path.display());
        let path = behind_links(root, &config.path).map_err(io("look for"))?;
        let (parent, name) = split(&path).map_err(io("look for"))?;
        let found = directory(root, parent, config).map_err(io("make the directory of"))?;
        let directory = rustix::fs::openat(&found, ".", DIRECTORY, Mode::empty())
            .map_err(|error| io("open the directory of")(error.into()))?;
        let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let owner = stat.ok().map(|stat| (stat.st_uid, stat.st_gid));
        Ok(Self { name: name.to_owned(), directory, owner })
    }
}

/// The path of the file itself: links at the end are followed where they lead to a file. One that leads to nothing is what
/// will be replaced: what it names is often made when the machine starts (`/etc/resolv.conf`), and would hide the file.
fn behind_links(root: &Root, path: &Path) -> io::Result<PathBuf> {
    match root.locate(path, Missing::Refuse) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(path.to_owned()),
        Err(error) => return Err(error),
        Ok(found) => {
            if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) == FileType::Directory {
                return Err(ErrorKind::IsADirectory.into());
            }
        }
    }
    let mut path = path.to_owned();
    for _ in 0..=LINKS_MAX {
        let (parent, name) = split(&path)?;
        match rustix::fs::readlinkat(root.locate(parent, Missing::Refuse)?, name, Vec::new()) {
            Ok(link) => path = parent.join(OsStr::from_bytes(link.as_bytes())),
            // It is no link.
            Err(Errno::INVAL) => return Ok(path),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::LOOP.into())
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| ErrorKind::IsADirectory.into())
}

/// The directory at `path`, with what is missing of it made.
fn directory(root: &Root, path: &Path, config: &Config) -> io::Result<OwnedFd> {
    let mut so_far = PathBuf::from("/");
    let mut directory = root.locate(&so_far, Missing::Refuse)?;
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            // A link's target may have them.
            Component::ParentDir | Component::Normal(_) => so_far.push(part),
        }
        directory = match root.locate(&so_far, Missing::Refuse) {
            Err(error) if error.kind() == ErrorKind::NotFound => make(&directory, part.as_os_str(), config)?,
            found => found?,
        };
    }
    Ok(directory)
}

fn make(parent: &OwnedFd, name: &OsStr, config: &Config) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(config.directory_mode);
    rustix::fs::mkdirat(parent, name, mode)?;
    let made = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?;
    rustix::fs::fchown(&made, config.uid.map(Uid::from_raw), config.gid.map(Gid::from_raw))?;
    // Neither the umask nor the change of the owner counts.
    rustix::fs::fchmod(&made, mode)?;
    Ok(made)
}
