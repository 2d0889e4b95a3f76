//! What the `ethtool` program would print, asked of the kernel itself.

use rustix::io::Result;

use crate::features;
use crate::netlink::{Family, NESTED, attribute, attributes, find};

const LINK_MODES_GET: u8 = 4;
const FEATURES_GET: u8 = 11;
const PAUSE_GET: u8 = 21;

/// The first attribute of every request and answer.
const HEADER: u16 = 1;
const HEADER_DEVICE_NAME: u16 = 2;
const LINK_MODES_OURS: u16 = 3;
const LINK_MODES_AUTONEGOTIATION: u16 = 2;
const FEATURES_ACTIVE: u16 = 4;
const BITSET_NO_MASK: u16 = 1;
const BITSET_BITS: u16 = 3;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// The kernel's ethtool family (Linux 5.6; features since 5.10).
pub(crate) struct Ethtool(Family);

impl Ethtool {
    pub(crate) fn open() -> Result<Self> {
        Family::open("ethtool").map(Self)
    }

    /// What is switched on at an interface, in the order and the words of `ethtool` and `ethtool -k`.
    pub(crate) fn enabled(&mut self, interface: &str) -> Vec<String> {
        let mut enabled = Vec::new();
        let modes = self.ask(LINK_MODES_GET, interface).unwrap_or_default();
        if find(&modes, LINK_MODES_AUTONEGOTIATION).is_some_and(|value| value.first() == Some(&1)) {
            enabled.push("auto-negotiation".to_owned());
        }
        // Drivers of virtual machines have no pause frames, and say so with an error.
        let advertised = find(&modes, LINK_MODES_OURS).map(bits).unwrap_or_default();
        if self.ask(PAUSE_GET, interface).is_ok()
            && advertised.iter().any(|mode| mode == "Pause" || mode == "Asym_Pause")
        {
            enabled.push("pause-frame-use".to_owned());
        }
        let answer = self.ask(FEATURES_GET, interface).unwrap_or_default();
        let active = find(&answer, FEATURES_ACTIVE).map(bits).unwrap_or_default();
        enabled.extend(features::in_ethtools_words(&active));
        enabled
    }

    fn ask(&mut self, command: u8, interface: &str) -> Result<Vec<u8>> {
        let mut name = interface.as_bytes().to_vec();
        name.push(0);
        self.0.ask(command, &attribute(HEADER | NESTED, &attribute(HEADER_DEVICE_NAME, &name)))
    }
}

/// The names of the bits that are set.
fn bits(bitset: &[u8]) -> Vec<String> {
    let is_list = find(bitset, BITSET_NO_MASK).is_some();
    let all = find(bitset, BITSET_BITS).unwrap_or_default();
    let set = attributes(all).filter(|(_, bit)| is_list || find(bit, BIT_VALUE).is_some());
    let name = |bit: &[u8]| {
        let text = find(bit, BIT_NAME)?;
        Some(String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(text)).into_owned())
    };
    set.filter_map(|(_, bit)| name(bit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(name: &str, set: bool) -> Vec<u8> {
        let name = attribute(BIT_NAME, format!("{name}\0").as_bytes());
        let value = if set { attribute(BIT_VALUE, &[]) } else { Vec::new() };
        attribute(1 | NESTED, &[name, value].concat())
    }

    #[test]
    fn set_bits_are_named_in_either_form() {
        let list = attribute(BITSET_BITS | NESTED, &[bit("a", false), bit("b", false)].concat());
        let no_mask = [attribute(BITSET_NO_MASK, &[]), list.clone()].concat();
        assert_eq!(bits(&no_mask), ["a", "b"]);
        let masked = attribute(BITSET_BITS | NESTED, &[bit("a", false), bit("b", true)].concat());
        assert_eq!(bits(&masked), ["b"]);
    }
}
