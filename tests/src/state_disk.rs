//! A state directory that can be full, refuse writes, or vanish.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use crate::{binaries, census};

/// Files on one, more than any test needs.
const FILES_MAX: u32 = 16 * 1024;

/// A small file system in memory, as a machine that booted from the network has it. Unmounted when dropped.
#[derive(Debug)]
pub struct StateDisk {
    path: PathBuf,
    is_mounted: bool,
}

impl StateDisk {
    /// Mounts one of `mib` MiB.
    ///
    /// # Errors
    /// When the directory cannot be made or mounted on.
    pub fn mount(path: &Path, mib: u32) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("failed to make {}", path.display()))?;
        let options = std::ffi::CString::new(format!("size={mib}m,nr_inodes={FILES_MAX},mode=0700"))?;
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
            .with_context(|| format!("failed to mount on {}", path.display()))?;
        Ok(Self { path: path.to_owned(), is_mounted: true })
    }

    /// Takes every byte that is left.
    ///
    /// # Errors
    /// For anything but a full disk.
    pub fn fill(&self) -> Result<()> {
        use std::io::Write as _;
        let mut file = fs::File::create(self.filler())?;
        for block in [1 << 16, 1] {
            loop {
                match file.write_all(&vec![b'x'; block]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("failed to fill the disk"),
                }
            }
        }
        Ok(())
    }

    /// Gives the bytes back.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("failed to free the disk")
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Takes every name that is left: no file can be made any more.
    ///
    /// # Errors
    /// For anything but a full disk.
    pub fn fill_names(&self) -> Result<()> {
        fs::create_dir(self.names())?;
        for nth in 0_u32.. {
            match fs::File::create(self.names().join(nth.to_string())) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("failed to fill the disk with names"),
            }
        }
        Ok(())
    }

    /// Gives the names back.
    ///
    /// # Errors
    /// When they were not taken.
    pub fn free_names(&self) -> Result<()> {
        fs::remove_dir_all(self.names()).context("failed to free the disk's names")
    }

    fn names(&self) -> PathBuf {
        self.path.join("names")
    }

    /// Looks read-only to every program that starts now, until the guard is dropped. What runs keeps what it has open.
    ///
    /// # Errors
    /// When it cannot be mounted over itself.
    pub fn read_only(&self) -> Result<ReadOnly> {
        mount_bind(&self.path, &self.path).context("failed to mount the disk over itself")?;
        let cover = ReadOnly { path: self.path.clone() };
        mount_remount(&self.path, MountFlags::BIND | MountFlags::RDONLY, "").context("failed to make it read-only")?;
        Ok(cover)
    }

    /// Refuses new files in a directory of it, or takes them again. (A file system cannot be made read-only while a
    /// program has a file open for writing, and the worker holds its lock.)
    ///
    /// # Errors
    /// When `chattr` cannot do it.
    pub fn set_read_only(&self, directory: &str, read_only: bool) -> Result<()> {
        let flag = if read_only { "+i" } else { "-i" };
        let chattr = binaries::system_program("chattr")?;
        let output = Command::new(chattr).arg(flag).arg(self.path.join(directory)).output()?;
        if !output.status.success() {
            bail!("failed to run chattr {flag}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Is gone, as memory is after a power cut, and as a disk is that was pulled out. The directory below it is empty.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn vanish(&mut self) -> Result<()> {
        unmount(&self.path, UnmountFlags::DETACH)
            .with_context(|| format!("failed to unmount {}", self.path.display()))?;
        self.is_mounted = false;
        Ok(())
    }
}

/// A state disk that looks read-only.
#[derive(Debug)]
pub struct ReadOnly {
    path: PathBuf,
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}

impl Drop for StateDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = self.set_read_only("assignments", false);
            let _ = unmount(&self.path, UnmountFlags::DETACH);
        }
    }
}

/// Kills every process that mentions `directory` in its command line or has its root below, as the end of a machine does.
pub fn end_processes_below(directory: &Path) {
    // Owners first: they would write down how their containers ended.
    for pass in 0..2 {
        for (pid, command) in census::processes_marked(None, directory) {
            if pass == 1 || command.contains("tink-") {
                crate::process::kill_pid(pid);
            }
        }
    }
}
