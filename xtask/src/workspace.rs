//! Where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The packages that hold the programs we ship.
pub(crate) const PROGRAM_PACKAGES: [&str; 3] = ["tink-cli", "tink-server", "tink-worker"];
/// The programs we ship.
pub(crate) const PROGRAMS: [&str; 3] = ["tink", "tink-server", "tink-worker"];

/// The directory of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo's target directory.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// Where cargo puts what it builds with a profile: `target/<host>/<profile>`, as .cargo/config.toml names the host.
pub(crate) fn profile_dir(profile: &str) -> Result<PathBuf> {
    Ok(target_dir().join(host()?).join(profile))
}

/// The triple of this machine.
pub(crate) fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("failed to run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// The arguments that select the packages of our programs.
pub(crate) fn program_args() -> impl Iterator<Item = &'static str> {
    PROGRAM_PACKAGES.into_iter().flat_map(|package| ["--package", package]).chain(["--bins"])
}
