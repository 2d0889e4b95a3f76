//! The kernel of the guests that tests boot: unpacked from Debian's package, not installed, since nothing here boots it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{setup, shell};

/// Where the tests look for it (`tink_e2e::guest`).
const DIRECTORY: &str = "/var/cache/tink-e2e/kernel";
/// Depends on the newest package with a kernel for virtual machines.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// The files that tests use, by their names' beginnings in the package.
const FILES: [(&str, &str); 3] = [("vmlinuz", "boot/vmlinuz-"), ("overlay.ko", "overlay.ko"), ("loop.ko", "loop.ko")];

/// Whether it is there.
pub(crate) fn is_there() -> bool {
    FILES.iter().all(|(name, _)| Path::new(DIRECTORY).join(name).is_file())
}

/// Fetches it with apt, which checks its signature. A distribution without the package does without the tests that boot
/// guests.
pub(crate) fn fetch() -> Result<()> {
    let mut found = package();
    if found.is_none() {
        setup::refresh()?;
        found = package();
    }
    let Some(package) = found else {
        eprintln!("xtask: no package {META_PACKAGE} here: the tests that boot guests will fail");
        return Ok(());
    };
    // Nothing is left there but by a run that was killed.
    let scratch = Path::new(DIRECTORY).with_extension("new");
    remove(&scratch)?;
    let (unpacked, ready) = (scratch.join("unpacked"), scratch.join("ready"));
    for directory in [&unpacked, &ready] {
        fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
    }
    let download = || shell::run(setup::apt_get().args(["download", &package]).current_dir(&scratch));
    // The package lists may name a file that is there no longer.
    download().or_else(|_| setup::refresh().and_then(|()| download()))?;
    let archive = find(&scratch, &format!("{package}_"))?;
    shell::run(Command::new("dpkg").arg("--extract").arg(&archive).arg(&unpacked))?;
    for (name, beginning) in FILES {
        let (from, to) = (find(&unpacked, beginning)?, ready.join(name));
        fs::copy(&from, &to).with_context(|| format!("failed to copy {} to {}", from.display(), to.display()))?;
    }
    remove(Path::new(DIRECTORY))?;
    fs::rename(&ready, DIRECTORY).with_context(|| format!("failed to move {} to {DIRECTORY}", ready.display()))?;
    remove(&scratch)
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// The package that the meta package depends on.
fn package() -> Option<String> {
    let output = Command::new("apt-cache").args(["depends", META_PACKAGE]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned)
}

/// The file below `directory` whose path from there, or name, begins with `beginning`.
fn find(directory: &Path, beginning: &str) -> Result<PathBuf> {
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("failed to read {}", next.display()))? {
            let path = entry.with_context(|| format!("failed to read {}", next.display()))?.path();
            let is_named = |text: Option<&str>| text.is_some_and(|text| text.starts_with(beginning));
            let below = path.strip_prefix(directory).ok().and_then(Path::to_str);
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else if is_named(below) || is_named(path.file_name().and_then(|name| name.to_str())) {
                return Ok(path);
            }
        }
    }
    bail!("there is no {beginning}… below {}", directory.display())
}
