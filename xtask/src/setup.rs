//! Installing what the tests need, on Debian and its kin.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{elf, guest_kernel, shell};

/// One thing the tests need.
struct Need {
    what: &'static str,
    /// The packages that bring it; the first that this release of the distribution has is taken.
    packages: &'static [&'static str],
    is_there: fn() -> bool,
}

const NEEDS: [Need; 13] = [
    Need { what: "a C compiler", packages: &["gcc"], is_there: || shell::which("cc").is_some() },
    Need { what: "the static C library", packages: &["libc6-dev"], is_there: has_static_libc },
    Need { what: "a C++ compiler, for fuzzing", packages: &["g++"], is_there: || shell::which("c++").is_some() },
    Need { what: "strace", packages: &["strace"], is_there: || shell::which("strace").is_some() },
    Need { what: "chattr", packages: &["e2fsprogs"], is_there: || shell::which("chattr").is_some() },
    Need { what: "dockerd", packages: &["docker.io"], is_there: || shell::which("dockerd").is_some() },
    Need { what: "docker", packages: &["docker-cli", "docker.io"], is_there: || shell::which("docker").is_some() },
    Need { what: "containerd", packages: &["containerd"], is_there: || shell::which("containerd").is_some() },
    Need { what: "runc", packages: &["runc"], is_there: || shell::which("runc").is_some() },
    Need { what: "a registry", packages: &["docker-registry"], is_there: || shell::which("docker-registry").is_some() },
    Need { what: "a static busybox", packages: &["busybox-static"], is_there: has_static_busybox },
    Need { what: "ip", packages: &["iproute2"], is_there: || shell::which("ip").is_some() },
    Need { what: "a machine emulator", packages: &["qemu-system-x86"], is_there: has_qemu },
];

/// Installs what is missing.
pub(crate) fn run() -> Result<()> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() && guest_kernel::is_there() {
        eprintln!("xtask: all that the tests need is installed");
        return Ok(());
    }
    if !missing.is_empty() {
        let list: Vec<_> = missing.iter().map(|need| need.what).collect();
        eprintln!("xtask: missing: {}", list.join(", "));
        install(&missing.iter().map(|need| need.packages).collect::<Vec<_>>())?;
        let left: Vec<_> = missing.iter().filter(|need| !(need.is_there)()).map(|need| need.what).collect();
        if !left.is_empty() {
            bail!("still missing after the installation: {}", left.join(", "));
        }
    }
    if guest_kernel::is_there() { Ok(()) } else { guest_kernel::fetch() }
}

/// Installs one package of each list of alternatives, refreshing the package lists only if they do not know one or if the
/// installation fails (as with lists that name files no longer there).
pub(crate) fn install(wanted: &[&[&str]]) -> Result<()> {
    let names: Vec<_> = wanted.iter().map(|alternatives| alternatives.join(" or ")).collect();
    let names = names.join(", ");
    if shell::which("apt-get").is_none() {
        bail!("there is no apt-get: install by hand what Debian calls {names}");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("packages are missing ({names}): run this as root, or `apt-get install` them yourself");
    }
    let mut fresh = false;
    let mut chosen = choose(wanted);
    if chosen.is_none() {
        fresh = true;
        refresh()?;
        chosen = choose(wanted);
    }
    let Some(packages) = chosen else { bail!("this distribution has no package for one of {names}") };
    let install = || shell::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(&packages));
    match install() {
        Err(_) if !fresh => {
            refresh()?;
            install()
        }
        result => result,
    }
}

/// Fetches the package lists anew.
pub(crate) fn refresh() -> Result<()> {
    shell::run(apt_get().arg("update"))
}

fn choose(wanted: &[&[&str]]) -> Option<Vec<String>> {
    let known = |name: &&&str| shell::succeeds(Command::new("apt-cache").args(["show", "--quiet", name]));
    let mut chosen = Vec::new();
    for alternatives in wanted {
        let name = (*alternatives.iter().find(known)?).to_owned();
        if !chosen.contains(&name) {
            chosen.push(name);
        }
    }
    Some(chosen)
}

/// `apt-get` that asks nothing.
pub(crate) fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn has_static_busybox() -> bool {
    let content = shell::which("busybox").and_then(|path| fs::read(path).ok());
    content.and_then(|content| elf::Linkage::read(&content).ok()).is_some_and(|linkage| linkage.is_static())
}

fn has_qemu() -> bool {
    shell::which("qemu-system-x86_64").is_some()
}

fn has_static_libc() -> bool {
    let output = Command::new("cc").arg("-print-file-name=libc.a").output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute())
}
