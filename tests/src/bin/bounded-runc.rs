//! `runc`, for a machine whose own bounding set lacks a capability.
//!
//! `docker run --privileged` asks for every capability the kernel knows, and runc fails as a whole where one of them cannot
//! be had, as inside of many virtual machines and containers. This program takes those out of the bundle's `config.json`
//! (and out of the `process.json` of an exec) and then becomes runc, with the same arguments.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tink_e2e::{CapabilitySet, bound_spec};

fn main() -> Result<()> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.iter().any(|arg| arg == "create" || arg == "run") {
        let bundle = option(&args, &["--bundle", "-b"]).unwrap_or_default();
        bound_file(&bundle.join("config.json"))?;
    } else if args.iter().any(|arg| arg == "exec")
        && let Some(process) = option(&args, &["--process", "-p"])
    {
        bound_file(&process)?;
    }
    Err(Command::new(runc()?).args(args).exec()).context("failed to become runc")
}

/// The value of an option, as the next argument or after `=`.
fn option(args: &[OsString], names: &[&str]) -> Option<PathBuf> {
    args.iter().enumerate().find_map(|(index, arg)| {
        let arg = arg.to_str()?;
        if names.contains(&arg) {
            return args.get(index + 1).map(PathBuf::from);
        }
        let (name, value) = arg.split_once('=')?;
        names.contains(&name).then(|| PathBuf::from(value))
    })
}

fn bound_file(path: &Path) -> Result<()> {
    let text = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let mut spec: Value =
        serde_json::from_slice(&text).with_context(|| format!("failed to parse {}", path.display()))?;
    if !bound_spec(&mut spec, CapabilitySet::bounding()?).is_empty() {
        fs::write(path, spec.to_string()).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// The first `runc` in PATH that is not this program under another name.
fn runc() -> Result<PathBuf> {
    let own = std::env::current_exe().and_then(fs::canonicalize).context("failed to find the path of this program")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join("runc"))
        .find(|candidate| fs::canonicalize(candidate).is_ok_and(|real| real != own))
        .context("runc is not installed: run `cargo xtask setup`")
}
