//! A machine of its own: a kernel in QEMU, with nothing but an [`Initramfs`] and a serial console.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{Initramfs, Process, TestRun};

/// Where `cargo xtask setup` puts the guest's kernel and the modules that tests load.
const KERNEL_DIR: &str = "/var/cache/tink-e2e/kernel";
/// Names a directory with another kernel, `vmlinuz`, `overlay.ko` and `loop.ko`: the oldest that is supported is 5.4.
const KERNEL_DIR_VARIABLE: &str = "TINK_E2E_KERNEL_DIR";
const MEMORY_MB: &str = "1024";

/// A file of the guest's kernel: `vmlinuz`, or a module, as `overlay.ko`.
///
/// # Errors
/// When it is not there.
pub fn kernel_file(name: &str) -> Result<PathBuf> {
    let directory = std::env::var_os(KERNEL_DIR_VARIABLE).map_or_else(|| PathBuf::from(KERNEL_DIR), PathBuf::from);
    let path = directory.join(name);
    if !path.is_file() {
        bail!("{} is not there: run `cargo xtask setup`", path.display());
    }
    Ok(path)
}

/// Boots a guest that runs `/init` of the initramfs; its console is the process's standard output, and the process ends
/// when the guest powers off or panics. It is emulated in software, so that it runs where there is no virtualisation, and
/// has no network and no disk.
///
/// # Errors
/// When QEMU or the kernel is not installed, or the initramfs cannot be written.
pub fn boot(run: &TestRun, initramfs: &Initramfs) -> Result<Process> {
    let archive = run.scratch().join("initramfs.cpio");
    initramfs.write(&archive)?;
    Process::program("qemu-system-x86_64")?
        .named("guest")
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-accel", "tcg", "-m", MEMORY_MB])
        .args(["-nic", "none", "-display", "none", "-serial", "stdio", "-append", "console=ttyS0 quiet panic=-1"])
        .arg("-kernel")
        .arg(kernel_file("vmlinuz")?)
        .arg("-initrd")
        .arg(archive)
        .start(run)
}
