//! The kernel's list of mounts.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// One line of `/proc/self/mountinfo`, the parts we use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `major:minor` of the file system.
    pub(crate) device: String,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The file system's type.
    pub(crate) kind: String,
    /// What is mounted: a device, or any word.
    pub(crate) source: PathBuf,
    /// The options of the file system itself.
    pub(crate) options: String,
}

/// The mounts of this process's mount namespace, in the order they were made.
pub(crate) fn read() -> std::io::Result<Vec<Mount>> {
    MountTable::open()?.read()
}

/// The kernel's list, which tells whether it has changed since it was opened.
pub(crate) struct MountTable {
    file: File,
}

impl MountTable {
    pub(crate) fn open() -> std::io::Result<Self> {
        Ok(Self { file: File::open("/proc/self/mountinfo")? })
    }

    /// What is in it; once.
    pub(crate) fn read(&self) -> std::io::Result<Vec<Mount>> {
        let mut text = String::new();
        (&self.file).read_to_string(&mut text)?;
        Ok(parse(&text))
    }

    /// Whether anything was mounted or unmounted since it was opened, as proc_pid_mounts(5) says; `true` if nobody can say.
    pub(crate) fn has_changed(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.file, PollFlags::PRI)];
        let polled = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now)));
        polled.is_err() || fds[0].revents().intersects(PollFlags::PRI | PollFlags::ERR)
    }
}

/// The mounts that another process sees.
pub(crate) fn read_of(pid: i32) -> std::io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?))
}

fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mount> {
    // Optional fields stand between the sixth field and the dash.
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let device = left.nth(2)?.to_owned();
    let point = PathBuf::from(unescape(left.nth(1)?));
    let mut right = right.split(' ');
    let kind = right.next()?.to_owned();
    let source = PathBuf::from(unescape(right.next()?));
    let options = right.next().unwrap_or_default().to_owned();
    Some(Mount { device, point, kind, source, options })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_a_space_in_the_path_is_read() {
        let mounts =
            parse("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n");
        let [mount] = mounts.as_slice() else { panic!("{mounts:?}") };
        assert_eq!(mount.point, PathBuf::from("/mnt 2"));
        assert_eq!((mount.kind.as_str(), mount.options.as_str()), ("ext3", "rw,errors=continue"));
        assert_eq!((mount.device.as_str(), mount.source.to_str()), ("98:0", Some("/dev/root")));
    }

    #[test]
    fn the_root_of_this_machine_is_found() {
        assert!(read().unwrap().iter().any(|mount| mount.point == std::path::Path::new("/")));
    }

    #[test]
    fn a_mount_is_noticed() {
        // Others may mount something at any moment.
        let table = (0..1000).map(|_| MountTable::open().unwrap()).find(|table| !table.has_changed()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>).unwrap();
        assert!(table.has_changed());
        let table = MountTable::open().unwrap();
        unmount(dir.path(), UnmountFlags::DETACH).unwrap();
        assert!(table.has_changed());
    }
}
