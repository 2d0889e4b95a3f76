//! Where the binaries under test are: beside this one.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

/// Path of one of the project's binaries, built with the same profile as this program.
pub fn path(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this program")?;
    let path = own.with_file_name(name);
    ensure!(path.exists(), "{} is not built; run it by `cargo xtask bench`", path.display());
    Ok(path)
}
