//! A file system mounted for the length of an action, and never longer.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::ActionError;

/// Tried in this order where the file system's type is not said.
const KNOWN_TYPES: [&str; 5] = ["ext4", "xfs", "vfat", "btrfs", "ext2"];

/// Mounts of this process so far: each has a place of its own.
static MOUNTS: AtomicU32 = AtomicU32::new(0);

/// A mounted file system. Dropped, it is unmounted: a mount that stays keeps the disk busy for the next action.
pub struct Mounted {
    at: PathBuf,
    // Dropped after the unmount.
    _loop_device: Option<tink_oci::LoopDevice>,
}

impl Mounted {
    /// Mounts the file system of type `fs_type` (empty = find out) that is on `disk`, a block device or a plain file.
    pub fn mount(disk: &str, fs_type: &str) -> Result<Self, ActionError> {
        let kind = fs::metadata(disk).map_err(ActionError::io("look at", disk))?.file_type();
        let loop_device = if kind.is_block_device() {
            None
        } else {
            let attach = tink_oci::LoopDevice::attach(Path::new(disk));
            Some(attach.map_err(ActionError::io("attach a loop device to", disk))?)
        };
        let device = loop_device.as_ref().map_or_else(|| PathBuf::from(disk), |device| device.path().to_owned());
        let number = MOUNTS.fetch_add(1, Ordering::Relaxed);
        let at = PathBuf::from(format!("/run/tink-mount-{}-{number}", std::process::id()));
        fs::create_dir_all(&at).map_err(ActionError::io("make the directory", at.display()))?;
        let types = if fs_type.is_empty() { &KNOWN_TYPES[..] } else { &[fs_type][..] };
        let mut reasons = Vec::new();
        for fs_type in types {
            match rustix::mount::mount(&device, &at, *fs_type, MountFlags::empty(), None) {
                Ok(()) => return Ok(Self { at, _loop_device: loop_device }),
                Err(errno) => reasons.push(format!("as {fs_type}: {}", reason(errno))),
            }
        }
        // The directory is of no use without a mount; that it stays is no second failure.
        let _ = fs::remove_dir(&at);
        Err(ActionError::io("mount", disk)(std::io::Error::other(reasons.join("; "))))
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Unmounts it, and says so if that fails.
    pub fn unmount(self) -> Result<(), ActionError> {
        let at = self.at.clone();
        let result = rustix::mount::unmount(&at, UnmountFlags::empty());
        result.map_err(|error| ActionError::io("unmount", at.display())(error.into()))
    }
}

/// What the kernel means where it says "invalid argument" or "no such device".
fn reason(errno: Errno) -> String {
    match errno {
        Errno::INVAL => "there is no such file system on it".to_owned(),
        Errno::NODEV => "the kernel does not know this type".to_owned(),
        errno => std::io::Error::from(errno).to_string(),
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // After `unmount` there is nothing left to do and this fails, as it may.
        let _ = rustix::mount::unmount(&self.at, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.at);
    }
}
