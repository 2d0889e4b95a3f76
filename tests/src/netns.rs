//! Network namespaces, to take a network away from a process and give it back.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A network namespace with its loopback up; removed when dropped.
#[derive(Debug)]
pub struct NetNs {
    name: String,
}

impl NetNs {
    /// Makes one.
    ///
    /// # Errors
    /// When `ip` cannot make it (root is needed).
    pub fn new() -> Result<Self> {
        let name = unique_name("n");
        ip(&["netns", "add", &name])?;
        let netns = Self { name };
        netns.ip(&["link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Joins two namespaces by a cable: `self` gets `address`, `other` gets `other_address` (both like `10.0.0.1/24`).
    /// Returns the name of the device, the same on both ends.
    ///
    /// # Errors
    /// When the kernel refuses, such as for an address in use.
    pub fn join(&self, address: &str, other: &Self, other_address: &str) -> Result<String> {
        let device = unique_name("v");
        ip(&[
            "link",
            "add",
            &device,
            "netns",
            &self.name,
            "type",
            "veth",
            "peer",
            "name",
            &device,
            "netns",
            &other.name,
        ])?;
        for (netns, address) in [(self, address), (other, other_address)] {
            netns.ip(&["addr", "add", address, "dev", &device])?;
            netns.ip(&["link", "set", &device, "up"])?;
        }
        Ok(device)
    }

    /// As [`NetNs::join`], without addresses and segment by segment: what is sent is one packet on the wire.
    pub(crate) fn join_bare(&self, other: &Self) -> Result<String> {
        let device = unique_name("v");
        let (one, two) = (self.name.as_str(), other.name.as_str());
        ip(&["link", "add", &device, "netns", one, "type", "veth", "peer", "name", &device, "netns", two])?;
        for netns in [self, other] {
            netns.ip(&["link", "set", &device, "gso_max_segs", "1", "gso_max_size", "1500", "up"])?;
        }
        Ok(device)
    }

    /// Gives a device an address such as `10.0.0.1/24`.
    pub(crate) fn give_address(&self, device: &str, address: &str) -> Result<()> {
        self.ip(&["addr", "add", address, "dev", device])
    }

    /// Makes something, such as a socket, inside the namespace; it works from anywhere then.
    ///
    /// # Errors
    /// What `make` answers, or that the namespace cannot be entered.
    pub fn inside<T: Send>(&self, make: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let netns = std::fs::File::open(self.path()).with_context(|| format!("failed to open {}", self.name))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let kind = rustix::thread::LinkNameSpaceType::Network;
                rustix::thread::move_into_link_name_space(netns.as_fd(), Some(kind))
                    .context("failed to enter a network namespace")?;
                make()
            });
            thread.join().unwrap_or_else(|_| bail!("a thread in a network namespace panicked"))
        })
    }

    /// Pulls the cable out on this side: packets vanish, connections stay as they are.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn unplug(&self, device: &str) -> Result<()> {
        self.ip(&["link", "set", device, "down"])
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn plug(&self, device: &str) -> Result<()> {
        self.ip(&["link", "set", device, "up"])
    }

    fn ip(&self, args: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name.as_str()], args].concat())
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("{error:#}");
        }
    }
}

/// A name that fits a network device (15 bytes) and is this process's own.
pub(crate) fn unique_name(kind: &str) -> String {
    format!("tk{kind}{}x{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Runs `ip`, which must succeed.
pub(crate) fn ip(args: &[&str]) -> Result<()> {
    let program = crate::binaries::system_program("ip")?;
    let output = Command::new(program).args(args).output().context("failed to start ip")?;
    if !output.status.success() {
        bail!("failed to run `ip {}`: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
