//! The container's root, or any other directory, with paths resolved inside it whatever links it holds.
//!
//! Component by component and with a descriptor for each, so that `..` and absolute links end at the container's root and
//! never at ours. What is there already the kernel finds in one step (`openat2`, Linux 5.6); it cannot make what is missing.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, readlinkat, statat};
use rustix::io::Errno;

use super::mounts::mount_point;

/// Links followed in one path, as the kernel allows.
const LINKS_MAX: u32 = 40;

/// How the kernel follows a path that is not to leave the root.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// What shall be made where the path ends in nothing. Missing directories on the way are made, too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: `ENOENT`.
    Refuse,
    /// A directory, 0755.
    Directory,
    /// An empty file, 0644.
    File,
}

/// A directory that is `/` for every path given to it.
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Takes the directory at `path` as the root.
    ///
    /// # Errors
    /// When it is not there or no directory.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// The directory itself.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// What `path` names, with all links followed, as a path-only descriptor.
    ///
    /// # Errors
    /// When it is not there and not to be made, or cannot be reached.
    pub fn locate(&self, path: &Path, missing: Missing) -> std::io::Result<OwnedFd> {
        match openat2(&self.fd, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), INSIDE) {
            Ok(found) => Ok(found),
            // Missing, an older kernel, a filter that does not know the call, a rename on the way: the long way tells.
            Err(_) => self.walk(path, missing),
        }
    }

    /// The long way.
    fn walk(&self, path: &Path, missing: Missing) -> std::io::Result<OwnedFd> {
        let mut todo: VecDeque<OsString> = words(path);
        // The directories from the root down to where we are.
        let mut here: Vec<OwnedFd> = vec![rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)?];
        let mut links = 0;
        while let Some(word) = todo.pop_front() {
            if word == ".." {
                if here.len() > 1 {
                    here.pop();
                }
                continue;
            }
            let parent = here.last().ok_or(Errno::NOENT)?;
            let found = match open_path(parent, &word) {
                Err(Errno::NOENT) if missing != Missing::Refuse => {
                    make(parent, &word, todo.is_empty() && missing == Missing::File)?;
                    open_path(parent, &word)?
                }
                found => found?,
            };
            if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Symlink {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                let target = OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes());
                let target = Path::new(&target);
                if target.is_absolute() {
                    here.truncate(1);
                }
                for word in words(target).into_iter().rev() {
                    todo.push_front(word);
                }
                continue;
            }
            here.push(found);
        }
        here.pop().ok_or_else(|| Errno::NOENT.into())
    }

    /// Makes a directory, and those above it, where there is none.
    pub(crate) fn make_dir(&self, path: &Path) -> std::io::Result<()> {
        let found = self.locate(path, Missing::Directory)?;
        if is_dir(&found)? { Ok(()) } else { Err(Errno::NOTDIR.into()) }
    }

    /// Reads a file of at most `bytes_max` bytes; nothing where there is none.
    pub(crate) fn read(&self, path: &Path, bytes_max: u64) -> std::io::Result<Option<String>> {
        let found = match self.locate(path, Missing::Refuse) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => return Ok(None),
            Err(error) => return Err(error),
        };
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(mount_point(&found))?.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Opens a plain file for reading.
    ///
    /// # Errors
    /// When there is none.
    pub fn open_file(&self, path: &Path) -> std::io::Result<File> {
        let found = self.locate(path, Missing::Refuse)?;
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
            return Err(std::io::Error::other("it is no plain file"));
        }
        File::open(mount_point(&found))
    }

    /// Writes a file, made where missing, links followed.
    pub(crate) fn write(&self, path: &Path, text: &str) -> std::io::Result<()> {
        let (flags, mode) = (OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o644));
        let mut file = match openat2(&self.fd, path, flags, mode, INSIDE) {
            Ok(file) => File::from(file),
            // A directory on the way that is missing, and what else is left to the long way.
            Err(_) => File::options().write(true).open(mount_point(&self.locate(path, Missing::File)?))?,
        };
        file.write_all(text.as_bytes())?;
        // Not truncated when opened: ext4 would wait for the disk when a file that was truncated and written is closed.
        if file.metadata()?.len() > text.len() as u64 {
            file.set_len(text.len() as u64)?;
        }
        Ok(())
    }

    /// Whether there is something at `path`, links in its last part not followed.
    pub(crate) fn has(&self, directory: &Path, name: &str) -> std::io::Result<bool> {
        let parent = self.locate(directory, Missing::Directory)?;
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a descriptor is a directory's.
pub(crate) fn is_dir(fd: &OwnedFd) -> std::io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Directory)
}

fn words(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(word) => Some(word.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect()
}

fn open_path(parent: &OwnedFd, word: &OsStr) -> rustix::io::Result<OwnedFd> {
    openat(parent, word, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn make(parent: &OwnedFd, word: &OsStr, file: bool) -> rustix::io::Result<()> {
    if !file {
        return mkdirat(parent, word, Mode::from_raw_mode(0o755));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(parent, word, flags, Mode::from_raw_mode(0o644)).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// An image with links that would leave it.
    fn image() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        std::fs::create_dir_all(dir.path().join("outside")).unwrap();
        std::fs::create_dir_all(dir.path().join("root/outside")).unwrap();
        symlink("../../../../outside", dir.path().join("root/up")).unwrap();
        symlink("/etc", dir.path().join("root/absolute")).unwrap();
        symlink("loop", dir.path().join("root/loop")).unwrap();
        symlink("/run/deep/file", dir.path().join("root/dangling")).unwrap();
        dir
    }

    #[test]
    fn links_and_dots_end_at_the_root() {
        let dir = image();
        let root = Root::open(&dir.path().join("root")).unwrap();
        root.write(Path::new("/up/a"), "a").unwrap();
        root.write(Path::new("/../../outside/b"), "b").unwrap();
        root.write(Path::new("/absolute/passwd"), "c").unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("outside")).unwrap().count(), 0);
        assert_eq!(std::fs::read_to_string(dir.path().join("root/outside/a")).unwrap(), "a");
        assert_eq!(std::fs::read_to_string(dir.path().join("root/outside/b")).unwrap(), "b");
        assert_eq!(std::fs::read_to_string(dir.path().join("root/etc/passwd")).unwrap(), "c");
    }

    #[test]
    fn the_short_way_leads_where_the_long_way_does() {
        let dir = image();
        std::fs::write(dir.path().join("root/etc/passwd"), "x").unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        for path in ["/etc", "/up/../etc/passwd", "/absolute/passwd", "/../etc", "/", "/etc/./../absolute"] {
            let [short, long] =
                [root.locate(path.as_ref(), Missing::Refuse), root.walk(path.as_ref(), Missing::Refuse)]
                    .map(|found| fstat(found.unwrap()).unwrap().st_ino);
            assert_eq!(short, long, "{path}");
        }
    }

    #[test]
    fn a_dangling_link_is_filled_inside() {
        let dir = image();
        let root = Root::open(&dir.path().join("root")).unwrap();
        root.write(Path::new("/dangling"), "x").unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("root/run/deep/file")).unwrap(), "x");
    }

    #[test]
    fn a_shorter_text_replaces_a_longer_one() {
        let dir = image();
        let root = Root::open(&dir.path().join("root")).unwrap();
        for text in ["long and longer", "short", ""] {
            root.write(Path::new("/etc/file"), text).unwrap();
            assert_eq!(root.read(Path::new("/etc/file"), 100).unwrap().as_deref(), Some(text));
        }
    }

    #[test]
    fn a_loop_of_links_is_an_error() {
        let dir = image();
        let root = Root::open(&dir.path().join("root")).unwrap();
        let error = root.locate(Path::new("/loop"), Missing::Directory).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    }

    #[test]
    fn nothing_is_made_where_nothing_is_asked_for() {
        let dir = image();
        let root = Root::open(&dir.path().join("root")).unwrap();
        assert_eq!(root.read(Path::new("/no/such/file"), 10).unwrap(), None);
        assert!(!dir.path().join("root/no").exists());
        assert!(root.make_dir(Path::new("/etc/../etc/sub")).is_ok());
        assert!(dir.path().join("root/etc/sub").is_dir());
    }
}
