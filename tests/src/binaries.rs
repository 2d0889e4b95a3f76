//! Where the programs under test are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Names the directory of the binaries under test; set by `cargo xtask test`.
pub const BIN_DIR_VARIABLE: &str = "TINK_E2E_BIN_DIR";

/// The path of one of the project's programs: from [`BIN_DIR_VARIABLE`] if it is set, else beside the test program.
///
/// # Errors
/// When the program is not there, with the command that builds it.
pub fn binary_path(name: &str) -> Result<PathBuf> {
    let directory = match std::env::var_os(BIN_DIR_VARIABLE) {
        Some(directory) => PathBuf::from(directory),
        None => profile_dir()?,
    };
    let path = directory.join(name);
    if !path.is_file() {
        bail!("{} is not there: run `cargo xtask test`, or `cargo build --bins` first", path.display());
    }
    Ok(path)
}

/// A program of this package, which cargo builds along with its tests and puts beside them.
pub(crate) fn companion_path(name: &str) -> Result<PathBuf> {
    let path = profile_dir()?.join(name);
    if !path.is_file() {
        bail!("{} is not there: run `cargo build -p tink-e2e --bins` first", path.display());
    }
    Ok(path)
}

/// A program of the machine, searched in PATH and in the directories of system daemons, which root's PATH may lack.
///
/// # Errors
/// When it is not there.
pub fn system_program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file());
    found.with_context(|| format!("{name} is not installed: run `cargo xtask setup`"))
}

/// `target/<triple>/debug` for a test at `target/<triple>/debug/deps/<test>` or a program right in it.
fn profile_dir() -> Result<PathBuf> {
    let program = std::env::current_exe().context("failed to find the path of this program")?;
    let directory = program.parent().context("this program has no directory")?;
    let above = if directory.file_name().is_some_and(|name| name == "deps") { directory.parent() } else { None };
    Ok(above.map_or_else(|| directory.to_path_buf(), Path::to_path_buf))
}
