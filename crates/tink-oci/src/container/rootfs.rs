//! The root file system: the image's layers with a fresh, writable layer on top.

use std::fmt::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind};

use super::copy::copy_layers;
use super::{Root, memory};
use crate::failure::{Doing, StartFailure};
use crate::spec::{Spec, Upper};

/// Where the root is assembled, below the state directory. Mounted in the container's own mount namespace only.
const ROOTFS_DIR: &str = "rootfs";
/// Where writes go on disk; removed by the shim when the container has ended.
pub(crate) const UPPER_DIR: &str = "upper";
pub(crate) const WORK_DIR: &str = "work";
/// Where the tmpfs for writes is mounted, where the disk cannot take them.
const RAM_DIR: &str = "ram";

/// File systems that overlayfs cannot have its upper layer on, or not fully: overlayfs itself, ramfs (no whiteouts, no
/// extended attributes), network and FUSE file systems, FAT.
const UNFIT_FOR_UPPER: [i64; 6] = [0x794c_7630, 0x8584_58f6, 0x6969, 0x6573_5546, 0x4d44, 0xff53_4d42];

/// An assembled root file system.
pub(crate) struct Rootfs {
    path: PathBuf,
    root: Root,
}

impl Rootfs {
    /// Mounts the layers, lowest first in `spec.layers`, and a fresh upper directory above them, under the name `name`.
    pub(super) fn assemble(spec: &Spec, name: &Path) -> Result<Self, StartFailure> {
        let path = make_dir(&spec.dir, ROOTFS_DIR)?;
        let on_disk = spec.upper == Upper::Auto && can_hold_upper(&spec.dir)?;
        let failed_with = |failure: &StartFailure, errno: Errno| failure.errno() == Some(errno.raw_os_error());
        let mounted = match Self::mount_overlay(spec, name, &path, on_disk) {
            // The kernel knows better than our list what it cannot write to.
            Err(failure) if on_disk && failed_with(&failure, Errno::INVAL) => {
                Self::mount_overlay(spec, name, &path, false)
            }
            mounted => mounted,
        };
        match mounted {
            // There is no overlayfs, or none on such layers: two overlays are below them, and the kernel stacks no third.
            Err(failure) if failed_with(&failure, Errno::NODEV) || failed_with(&failure, Errno::INVAL) => {
                Self::copy(spec, &path, on_disk)
            }
            mounted => mounted,
        }?;
        let root = Root::open(&path).doing(|| format!("open the root file system {}", path.display()))?;
        Ok(Self { path, root })
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The way into it.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    fn mount_overlay(spec: &Spec, name: &Path, path: &Path, on_disk: bool) -> Result<(), StartFailure> {
        let base = writable_base(spec, on_disk)?;
        let upper = open_dir(&make_dir(&base, UPPER_DIR)?)?;
        let work = open_dir(&make_dir(&base, WORK_DIR)?)?;
        let mut layers = Vec::with_capacity(spec.layers.len().max(1));
        for layer in spec.layers.iter().rev() {
            layers.push(open_dir(layer)?);
        }
        if layers.is_empty() {
            layers.push(open_dir(&make_dir(&base, "empty")?)?);
        }
        // Named by descriptors: digests for names would not fit into the one page that the options may have, and a colon
        // or comma in a path would need quoting.
        let mut options = String::from("lowerdir=");
        for (number, layer) in layers.iter().enumerate() {
            let colon = if number == 0 { "" } else { ":" };
            // Writing to a string does not fail.
            let _ = write!(options, "{colon}/proc/self/fd/{}", layer.as_raw_fd());
        }
        let _ =
            write!(options, ",upperdir=/proc/self/fd/{},workdir=/proc/self/fd/{}", upper.as_raw_fd(), work.as_raw_fd());
        let what = || format!("mount the {} layers of the image on {}", spec.layers.len(), path.display());
        mount_with_fallbacks(name, path, &options).doing(what)
    }

    /// Where overlayfs cannot be: the layers' content, copied.
    fn copy(spec: &Spec, path: &Path, on_disk: bool) -> Result<(), StartFailure> {
        let upper = make_dir(&writable_base(spec, on_disk)?, UPPER_DIR)?;
        copy_layers(&spec.layers, &upper)?;
        mount_bind(&upper, path).doing(|| format!("bind {} on {}", upper.display(), path.display()))
    }
}

/// Options that make a throw-away layer cheap or safe, left out one after another where the kernel does not know them:
/// `volatile` (5.10) spares the sync of the whole disk at unmount, `index=off` (4.13) the check that nobody else used the
/// upper directory before.
fn mount_with_fallbacks(name: &Path, path: &Path, options: &str) -> rustix::io::Result<()> {
    let mut result = Err(Errno::INVAL);
    for extra in [",index=off,volatile", ",index=off", ""] {
        let text = std::ffi::CString::new(format!("{options}{extra}")).map_err(|_| Errno::INVAL)?;
        result = mount(name, path, "overlay", MountFlags::empty(), Some(text.as_c_str()));
        if result != Err(Errno::INVAL) {
            break;
        }
    }
    result
}

/// Whether the file system of the state directory can hold an upper layer.
fn can_hold_upper(dir: &Path) -> Result<bool, StartFailure> {
    let kind = statfs(dir).doing(|| format!("look at the file system of {}", dir.display()))?.f_type;
    #[expect(clippy::useless_conversion, reason = "the field's type differs between architectures")]
    let kind = i64::from(kind);
    Ok(!UNFIT_FOR_UPPER.contains(&kind))
}

/// The directory that holds upper and work directories: the state directory, or a tmpfs of the container's own.
fn writable_base(spec: &Spec, on_disk: bool) -> Result<PathBuf, StartFailure> {
    if on_disk {
        return Ok(spec.dir.clone());
    }
    let ram = make_dir(&spec.dir, RAM_DIR)?;
    let size = match spec.upper {
        Upper::Tmpfs { size_bytes: Some(size) } => Some(size),
        Upper::Auto | Upper::Tmpfs { size_bytes: None } => memory::half_of_available(),
    };
    let size = size.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
    let options = std::ffi::CString::new(format!("mode=0755{size}")).doing(|| "name the tmpfs's size".to_owned())?;
    mount("tmpfs", &ram, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
        .doing(|| format!("mount a tmpfs for the container's writes on {}", ram.display()))?;
    Ok(ram)
}

fn make_dir(base: &Path, name: &str) -> Result<PathBuf, StartFailure> {
    let path = base.join(name);
    match std::fs::create_dir(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).doing(|| format!("make the directory {}", path.display()))
        }
        _ => Ok(()),
    }?;
    use std::os::unix::fs::PermissionsExt;
    // The upper directory's mode is the mode of the container's `/`.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
        .doing(|| format!("set the mode of {}", path.display()))?;
    Ok(path)
}

fn open_dir(path: &Path) -> Result<OwnedFd, StartFailure> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .doing(|| format!("open the layer {}", path.display()))
}
