//! The bridge of a private engine: containers reach the host by it, and nothing else.

use std::fs;

use anyhow::{Result, bail};

use crate::netns::{ip, unique_name};

/// A bridge with an address of its own; removed when dropped.
#[derive(Debug)]
pub(crate) struct Bridge {
    name: String,
}

impl Bridge {
    /// Makes one with a free /24 of 198.18.0.0/15, the block set aside for tests of network gear (RFC 2544).
    pub(crate) fn new() -> Result<Self> {
        let name = unique_name("b");
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        let start = std::process::id() % 512;
        let Some((second, third)) =
            (0..512).map(|step| (start + step) % 512).map(|n| (18 + n / 256, n % 256)).find(|(second, third)| {
                // The destination column is the address in hexadecimal, the first byte last.
                !routes.contains(&format!("\t00{third:02X}{second:02X}C6\t"))
            })
        else {
            bail!("no subnet of 198.18.0.0/15 is free");
        };
        ip(&["link", "add", &name, "type", "bridge"])?;
        let bridge = Self { name };
        ip(&["addr", "add", &format!("198.{second}.{third}.1/24"), "dev", &bridge.name])?;
        ip(&["link", "set", &bridge.name, "up"])?;
        Ok(bridge)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Err(error) = ip(&["link", "del", &self.name]) {
            eprintln!("{error:#}");
        }
    }
}
