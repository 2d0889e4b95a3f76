//! The programs as they are shipped.
//!
//! Every build here links statically against glibc (.cargo/config.toml); what is shipped is also small (profile `dist`).
//! Against musl, where wished: a Rust toolchain with the target `x86_64-unknown-linux-musl` and
//! `cargo build --profile dist --target x86_64-unknown-linux-musl`; nothing in the code depends on the C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::elf::Linkage;
use crate::{setup, shell, workspace};

const ARM64: &str = "aarch64-unknown-linux-gnu";

/// Builds them, checks that they are static, and answers with their directory.
pub(crate) fn run() -> Result<PathBuf> {
    shell::run(shell::cargo().args(["build", "--locked", "--profile", "dist"]).args(workspace::program_args()))?;
    collect(&workspace::profile_dir("dist")?, workspace::target_dir().join("static"))
}

/// The same for arm64, from whatever this machine is: with rustup's standard library and Debian's cross compiler.
pub(crate) fn run_for_arm64() -> Result<PathBuf> {
    if shell::which("aarch64-linux-gnu-gcc").is_none() {
        setup::install(&[&["gcc-aarch64-linux-gnu"], &["libc6-dev-arm64-cross"]])?;
    }
    shell::run(Command::new("rustup").args(["target", "add", ARM64]))?;
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--profile", "dist", "--target", ARM64]).args(workspace::program_args());
    build.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    build.env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc");
    shell::run(&mut build)?;
    collect(&workspace::target_dir().join(ARM64).join("dist"), workspace::target_dir().join("static/arm64"))
}

fn collect(built: &Path, directory: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&directory).with_context(|| format!("failed to make {}", directory.display()))?;
    for program in workspace::PROGRAMS {
        let (from, to) = (built.join(program), directory.join(program));
        let content = fs::read(&from).with_context(|| format!("failed to read {}", from.display()))?;
        let linkage = Linkage::read(&content).with_context(|| format!("failed to read {}", from.display()))?;
        if !linkage.is_static() {
            bail!("{} is not static: {linkage:?}", from.display());
        }
        // Removed first: a running copy keeps its file, where writing into it would fail.
        if to.exists() {
            fs::remove_file(&to).with_context(|| format!("failed to remove {}", to.display()))?;
        }
        fs::copy(&from, &to).with_context(|| format!("failed to copy to {}", to.display()))?;
        let hundredths = content.len() / 10_000;
        println!("{:>3}.{:02} MB  {}", hundredths / 100, hundredths % 100, to.display());
    }
    Ok(directory)
}
