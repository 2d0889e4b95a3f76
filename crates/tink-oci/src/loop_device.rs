//! A loop device: a plain file seen as a block device, for actions whose disk is a file.

#![expect(
    unsafe_code,
    reason = "loop devices are driven by ioctl, which has no safe wrapper; each block says why it is sound"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Ioctl, IoctlOutput, NoArg, Opcode, Setter, ioctl};

// linux/loop.h
const LOOP_SET_FD: Opcode = 0x4C00;
const LOOP_CLR_FD: Opcode = 0x4C01;
const LOOP_SET_STATUS64: Opcode = 0x4C04;
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// Another program may take the free device first; more often than this is not bad luck.
const TRIES: u32 = 16;

/// A loop device with a file behind it. The kernel detaches the file when the last user closes the device, a file system
/// mounted from it included, however this process ends.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    // Keeps the device from clearing itself until it is mounted or dropped.
    _device: File,
}

impl LoopDevice {
    /// Attaches the file at `path`, for reading and writing, to a free loop device.
    ///
    /// # Errors
    /// When the file cannot be opened, the kernel has no loop devices, or `/dev` has no node for the free one.
    pub fn attach(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        for _ in 0..TRIES {
            // SAFETY: LOOP_CTL_GET_FREE takes no argument and only returns a number.
            let number = unsafe { ioctl(&control, GetFree) }?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = OpenOptions::new().read(true).write(true).open(&path)?;
            match set_file(&device, file.as_raw_fd()) {
                Err(Errno::BUSY) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    if let Err(error) = clear_by_itself(&device) {
                        // SAFETY: LOOP_CLR_FD takes no argument; the file was attached just above by us.
                        let _ = unsafe { ioctl(&device, NoArg::<LOOP_CLR_FD>::new()) };
                        return Err(error.into());
                    }
                    return Ok(Self { path, _device: device });
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("others took {TRIES} free loop devices first")))
    }

    /// The device's node.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn set_file(device: &File, file: RawFd) -> Result<(), Errno> {
    let file = usize::try_from(file).map_err(|_| Errno::BADF)?;
    // SAFETY: LOOP_SET_FD takes a file descriptor by value; `file` is open for the length of the call.
    unsafe { ioctl(device, IntegerSetter::<LOOP_SET_FD>::new_usize(file)) }
}

fn clear_by_itself(device: &File) -> Result<(), Errno> {
    let info = LoopInfo64 { lo_flags: LO_FLAGS_AUTOCLEAR, ..LoopInfo64::EMPTY };
    // SAFETY: LOOP_SET_STATUS64 reads a `struct loop_info64`, whose layout `LoopInfo64` has, and keeps no pointer to it.
    unsafe { ioctl(device, Setter::<LOOP_SET_STATUS64, LoopInfo64>::new(info)) }
}

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct LoopInfo64 {
    lo_device: u64,
    lo_inode: u64,
    lo_rdevice: u64,
    lo_offset: u64,
    lo_sizelimit: u64,
    lo_number: u32,
    lo_encrypt_type: u32,
    lo_encrypt_key_size: u32,
    lo_flags: u32,
    lo_file_name: [u8; 64],
    lo_crypt_name: [u8; 64],
    lo_encrypt_key: [u8; 32],
    lo_init: [u64; 2],
}

impl LoopInfo64 {
    const EMPTY: Self = Self {
        lo_device: 0,
        lo_inode: 0,
        lo_rdevice: 0,
        lo_offset: 0,
        lo_sizelimit: 0,
        lo_number: 0,
        lo_encrypt_type: 0,
        lo_encrypt_key_size: 0,
        lo_flags: 0,
        lo_file_name: [0; 64],
        lo_crypt_name: [0; 64],
        lo_encrypt_key: [0; 32],
        lo_init: [0; 2],
    };
}

/// LOOP_CTL_GET_FREE, whose answer is its return value.
struct GetFree;

// SAFETY: the opcode takes no argument, so a null pointer is what the kernel expects, and nothing is written through it.
unsafe impl Ioctl for GetFree {
    type Output = i32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut rustix::ffi::c_void) -> rustix::io::Result<Self::Output> {
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[test]
    fn what_is_written_to_the_device_is_in_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 8192]).unwrap();
        {
            let device = LoopDevice::attach(file.path()).unwrap();
            let mut node = OpenOptions::new().read(true).write(true).open(device.path()).unwrap();
            let mut byte = [0];
            node.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [7]);
            node.rewind().unwrap();
            node.write_all(&[9; 4096]).unwrap();
            node.sync_all().unwrap();
        }
        assert_eq!(std::fs::read(file.path()).unwrap()[0], 9);
    }

    #[test]
    fn a_missing_file_is_an_error() {
        assert!(LoopDevice::attach(Path::new("/nonexistent")).is_err());
    }
}
