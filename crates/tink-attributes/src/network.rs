//! Network interfaces, from `/sys/class/net` and the kernel's ethtool family.

use crate::{Machine, ethtool};

const NET: &str = "sys/class/net";

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Its name: `eth0`.
    pub name: String,
    /// Its address, where it is its own; one that was made up is left out.
    pub mac: String,
    /// Such as `1000Mb/s`; empty where nothing is plugged in or nobody knows.
    pub speed: String,
    /// What is switched on, in `ethtool`'s words.
    pub enabled_capabilities: Vec<String>,
}

/// All interfaces that stand for hardware. Bridges, tunnels and the ends of containers come and go.
pub(crate) fn collect(machine: &Machine) -> Vec<Network> {
    let mut asked = if machine.is_this() { ethtool::Ethtool::open().ok() } else { None };
    let names = machine.names(NET).into_iter().filter(|name| is_hardware(machine, name));
    names.map(|name| interface(machine, name, asked.as_mut())).collect()
}

fn is_hardware(machine: &Machine, name: &str) -> bool {
    let link = machine.link(&format!("{NET}/{name}"));
    name != "lo" && link.is_some_and(|link| !link.contains("devices/virtual/net"))
}

fn interface(machine: &Machine, name: String, asked: Option<&mut ethtool::Ethtool>) -> Network {
    let text = |file: &str| machine.text(&format!("{NET}/{name}/{file}"));
    let is_own = text("addr_assign_type").as_deref() == Some("0");
    let mac = text("address").filter(|_| is_own).unwrap_or_default();
    // -1 and the largest number mean that nobody knows.
    let speed = text("speed").and_then(|speed| speed.parse::<u32>().ok()).filter(|speed| *speed < u32::MAX);
    let speed = speed.map(|speed| format!("{speed}Mb/s")).unwrap_or_default();
    let enabled_capabilities = asked.map(|asked| asked.enabled(&name)).unwrap_or_default();
    Network { name, mac, speed, enabled_capabilities }
}
