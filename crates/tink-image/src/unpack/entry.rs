//! Entries become files, directories, links and devices.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::path::components;
use super::root::{self, Dir, Root, failed, join};
use super::whiteout::{self, Sign};
use super::{LayerError, Limits, Meter, Unpacked, Whiteouts, attributes};
use crate::tar::{Entry, Kind, Segment, TarReader, shown};

/// What every entry is charged, for its inode and name.
const ENTRY_BYTES: u64 = 1024;
/// File contents are charged in whole pages.
const PAGE_BYTES: u64 = 4096;

/// What an entry may take beside its contents: a few bytes as a rule, but tens of kilobytes for those who try.
fn extra_bytes(entry: &Entry) -> u64 {
    let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    (xattrs + entry.link.len()) as u64
}

/// A layer being unpacked.
pub(super) struct Unpacker<'a> {
    root: Root,
    whiteouts: Whiteouts,
    limits: Limits,
    meter: &'a mut dyn Meter,
    done: Unpacked,
    /// Times of directories, set at the end: whatever is put into a directory changes them.
    times: BTreeMap<Vec<u8>, (i64, u32)>,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(root: Root, whiteouts: Whiteouts, limits: Limits, meter: &'a mut dyn Meter) -> Self {
        let times = BTreeMap::new();
        Self { root, whiteouts, limits, meter, done: Unpacked::default(), times }
    }

    /// Unpacks all entries.
    pub(super) fn run<R: Read>(&mut self, tar: &mut TarReader<R>) -> Result<(), LayerError> {
        while let Some(entry) = tar.next().map_err(LayerError::Tar)? {
            self.done.entries += 1;
            if self.done.entries > self.limits.entries_max {
                return Err(LayerError::Entries { entries_max: self.limits.entries_max });
            }
            self.charge(ENTRY_BYTES + extra_bytes(&entry))?;
            self.apply(&entry, tar)?;
        }
        Ok(())
    }

    /// Sets what had to wait until the end.
    pub(super) fn finish(mut self) -> Result<Unpacked, LayerError> {
        for (path, mtime) in std::mem::take(&mut self.times) {
            let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
            // What was replaced by something else since has no directory times.
            if let Some(dir) = self.root.directory(&parts, false)?
                && dir.path == path
            {
                attributes::set_times(dir.fd.as_fd(), mtime, &path)?;
            }
        }
        self.done.implicit = std::mem::take(&mut self.root.implicit).into_iter().collect();
        Ok(self.done)
    }

    fn charge(&mut self, bytes: u64) -> Result<(), LayerError> {
        self.done.bytes = self.done.bytes.saturating_add(bytes);
        self.meter.charge(bytes).map_err(LayerError::Budget)
    }

    fn apply<R: Read>(&mut self, entry: &Entry, tar: &mut TarReader<R>) -> Result<(), LayerError> {
        let parts = components(&entry.path)?;
        let Some((name, parents)) = parts.split_last() else {
            return self.set_root(entry);
        };
        let sign = whiteout::sign(&parts)?;
        if sign == Sign::Meta {
            return Ok(());
        }
        let dir = self.parent(parents)?;
        match sign {
            Sign::Meta => Ok(()),
            Sign::Opaque => {
                self.done.root_opaque |= dir.path.is_empty();
                whiteout::make_opaque(&dir, self.whiteouts)
            }
            Sign::Hides(hidden) => whiteout::hide(&dir, hidden, self.whiteouts).map(drop),
            Sign::None => match entry.kind {
                Kind::Directory => self.make_directory(&dir, name, entry),
                Kind::File => self.make_file(&dir, name, entry, tar),
                Kind::Symlink => self.make_symlink(&dir, name, entry),
                Kind::HardLink => self.make_hard_link(&dir, name, entry),
                Kind::CharDevice if entry.device == (0, 0) => whiteout::hide(&dir, name, self.whiteouts).map(drop),
                Kind::CharDevice => self.make_node(&dir, name, entry, FileType::CharacterDevice),
                Kind::BlockDevice => self.make_node(&dir, name, entry, FileType::BlockDevice),
                Kind::Fifo => self.make_node(&dir, name, entry, FileType::Fifo),
            },
        }
    }

    fn parent(&mut self, parts: &[&[u8]]) -> Result<Dir, LayerError> {
        let known = self.root.implicit.len();
        let dir = self.root.directory(parts, true)?;
        for _ in known..self.root.implicit.len() {
            self.charge(ENTRY_BYTES)?;
        }
        dir.ok_or_else(|| LayerError::NotADirectory { path: shown(&parts.join(&b'/')) })
    }

    fn set_root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if entry.kind != Kind::Directory {
            return Err(LayerError::NotADirectory { path: "/".to_owned() });
        }
        let top = self.root.top().clone();
        self.describe(&top, entry)
    }

    /// Sets a directory's attributes, its times later.
    fn describe(&mut self, dir: &Dir, entry: &Entry) -> Result<(), LayerError> {
        self.done.xattrs_dropped += attributes::set(dir.fd.as_fd(), entry, &dir.path)?;
        self.root.implicit.remove(&dir.path);
        self.times.insert(dir.path.clone(), entry.mtime);
        Ok(())
    }

    fn make_directory(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let path = join(&dir.path, name);
        if path.iter().filter(|b| **b == b'/').count() >= root::DEPTH_MAX {
            return Err(LayerError::Depth { path: shown(&path) });
        }
        let at = dir.fd.as_fd();
        let fd = match root::open_directory(at, name) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => root::make_directory(at, name, &path)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| failed("look at", &path, errno))?;
                if whiteout::is_whiteout(&stat) {
                    root::replace_whiteout(at, name, &path)?
                } else {
                    self.clear(dir, name, &path)?;
                    root::make_directory(at, name, &path)?
                }
            }
            Err(errno) => return Err(failed("open the directory", &path, errno)),
        };
        self.describe(&Dir { fd: fd.into(), path }, entry)
    }

    fn make_file<R: Read>(
        &mut self,
        dir: &Dir,
        name: &[u8],
        entry: &Entry,
        tar: &mut TarReader<R>,
    ) -> Result<(), LayerError> {
        let path = join(&dir.path, name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.fresh(dir, name, &path, "make the file", |at| {
            rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o600))
        })?;
        match &entry.segments {
            None => self.write_at(&fd, 0, entry.size, tar, &path)?,
            Some(segments) => {
                for Segment { offset, len } in segments {
                    self.write_at(&fd, *offset, *len, tar, &path)?;
                }
                rustix::fs::ftruncate(&fd, entry.size).map_err(|errno| failed("set the size of", &path, errno))?;
            }
        }
        self.done.xattrs_dropped += attributes::set(fd.as_fd(), entry, &path)?;
        attributes::set_times(&fd, entry.mtime, &path)
    }

    /// Writes the next `len` bytes of the entry's data at `offset`.
    fn write_at<R: Read>(
        &mut self,
        fd: &OwnedFd,
        mut offset: u64,
        len: u64,
        tar: &mut TarReader<R>,
        path: &[u8],
    ) -> Result<(), LayerError> {
        let mut left = len;
        let mut charged = 0_u64;
        while left > 0 {
            let piece = tar.data().map_err(LayerError::Tar)?;
            let take = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            if take == 0 {
                return Err(LayerError::Tar(crate::tar::TarError::Truncated));
            }
            let after = (len - left) + take as u64;
            if after > charged {
                let more = (after - charged).next_multiple_of(PAGE_BYTES);
                charged += more;
                self.done.bytes = self.done.bytes.saturating_add(more);
                self.meter.charge(more).map_err(LayerError::Budget)?;
            }
            let wrote = match rustix::io::pwrite(fd, &piece[..take], offset) {
                Ok(wrote) => wrote,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(failed("write", path, errno)),
            };
            tar.consume(wrote);
            offset += wrote as u64;
            left -= wrote as u64;
        }
        Ok(())
    }

    fn make_symlink(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let path = join(&dir.path, name);
        self.fresh(dir, name, &path, "make the link", |at| rustix::fs::symlinkat(entry.link.as_slice(), at, name))?;
        self.done.xattrs_dropped += entry.xattrs.len() as u64;
        attributes::set_owner_at(dir.fd.as_fd(), name, entry, &path)?;
        attributes::set_times_at(dir.fd.as_fd(), name, entry, &path)
    }

    fn make_hard_link(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let path = join(&dir.path, name);
        let refused = || LayerError::HardLink { path: entry.shown(), target: shown(&entry.link) };
        let target = components(&entry.link)?;
        let Some((target_name, parents)) = target.split_last() else { return Err(refused()) };
        let target_dir = self.root.directory(parents, false)?.ok_or_else(refused)?;
        let target_at = target_dir.fd.as_fd();
        let source = match rustix::fs::statat(target_at, *target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(refused()),
            Err(errno) => return Err(failed("look at", &entry.link, errno)),
        };
        if FileType::from_raw_mode(source.st_mode) == FileType::Directory {
            return Err(refused());
        }
        if let Ok(here) = rustix::fs::statat(dir.fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
            && (here.st_ino, here.st_dev) == (source.st_ino, source.st_dev)
        {
            return Ok(());
        }
        self.fresh(dir, name, &path, "make the hard link", |at| {
            rustix::fs::linkat(target_at, *target_name, at, name, AtFlags::empty())
        })
    }

    fn make_node(&mut self, dir: &Dir, name: &[u8], entry: &Entry, kind: FileType) -> Result<(), LayerError> {
        let path = join(&dir.path, name);
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        let mode = Mode::from_raw_mode(entry.mode);
        let made = self.fresh(dir, name, &path, "make the node", |at| {
            match rustix::fs::mknodat(at, name, kind, mode, device) {
                // Inside a user namespace devices cannot be made; whoever runs the image has a /dev of its own.
                Err(Errno::PERM) => Ok(false),
                other => other.map(|()| true),
            }
        })?;
        self.done.xattrs_dropped += entry.xattrs.len() as u64;
        if !made {
            self.done.devices_dropped += 1;
            return Ok(());
        }
        let at = dir.fd.as_fd();
        attributes::set_owner_at(at, name, entry, &path)?;
        // It was made a moment ago and is no link: nothing is followed.
        rustix::fs::chmodat(at, name, mode, AtFlags::empty())
            .map_err(|errno| failed("set the mode of", &path, errno))?;
        attributes::set_times_at(at, name, entry, &path)
    }

    /// Makes something under a name, in the place of whatever an earlier entry made there.
    fn fresh<T>(
        &mut self,
        dir: &Dir,
        name: &[u8],
        path: &[u8],
        operation: &'static str,
        make: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, LayerError> {
        match make(dir.fd.as_fd()) {
            Err(Errno::EXIST) => {
                self.clear(dir, name, path)?;
                make(dir.fd.as_fd())
            }
            other => other,
        }
        .map_err(|errno| failed(operation, path, errno))
    }

    fn clear(&mut self, dir: &Dir, name: &[u8], path: &[u8]) -> Result<(), LayerError> {
        self.root.forget(path);
        root::remove_at(dir.fd.as_fd(), name).map_err(|errno| failed("replace", path, errno))
    }
}
