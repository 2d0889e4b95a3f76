//! PCI devices and graphics cards, from `/sys/bus/pci` and `/sys/class/drm`.

use crate::names::Names;
use crate::{Machine, UNKNOWN};

/// A PCI device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pci {
    /// Its maker.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// Its class, such as `Network controller`.
    pub class: String,
    /// The driver that has it, if one does.
    pub driver: Option<String>,
}

/// One device that says nothing of itself hides no other: the Go agent has none at all then.
pub(crate) fn devices(machine: &Machine, names: &Names) -> Vec<Pci> {
    let all = machine.names("sys/bus/pci/devices");
    all.iter().filter_map(|address| device(machine, names, address)).collect()
}

pub(crate) fn graphics(machine: &Machine, names: &Names) -> Vec<Pci> {
    let cards = machine.names("sys/class/drm");
    let cards = cards.iter().filter(|name| name.starts_with("card") && !name.contains('-'));
    let address = |card: &String| {
        let link = machine.link(&format!("sys/class/drm/{card}"))?;
        link.rsplit('/').find(|part| is_address(part)).map(str::to_owned)
    };
    cards.filter_map(|card| device(machine, names, &address(card)?)).collect()
}

/// `0000:03:00.0`
fn is_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let is_hex = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == 4 && parts.iter().all(is_hex) && text.matches(':').count() == 2
}

fn device(machine: &Machine, names: &Names, address: &str) -> Option<Pci> {
    let dir = format!("sys/bus/pci/devices/{address}");
    let ids = Ids::parse(&machine.text(&format!("{dir}/modalias"))?)?;
    let or_unknown = |name: Option<&str>| name.unwrap_or(UNKNOWN).to_owned();
    Some(Pci {
        vendor: or_unknown(names.vendor(ids.vendor)),
        product: or_unknown(names.device(ids.vendor, ids.device)),
        class: or_unknown(names.class(ids.class)),
        driver: machine.link_name(&format!("{dir}/driver")),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Ids {
    vendor: u16,
    device: u16,
    class: u8,
}

impl Ids {
    /// `pci:v00008086d00001533sv00008086sd00000001bc02sc00i00`
    fn parse(modalias: &str) -> Option<Self> {
        let text = modalias.strip_prefix("pci:v")?;
        let hex = |at: usize, digits: usize| u32::from_str_radix(text.get(at..at + digits)?, 16).ok();
        let is = |at: usize, word: &str| text.get(at..)?.starts_with(word).then_some(());
        is(8, "d")?;
        is(37, "bc")?;
        Some(Self {
            vendor: u16::try_from(hex(0, 8)?).ok()?,
            device: u16::try_from(hex(9, 8)?).ok()?,
            class: u8::try_from(hex(39, 2)?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_are_found_in_the_alias() {
        let ids = Ids::parse("pci:v00008086d00001533sv00008086sd00000001bc02sc00i00");
        assert_eq!(ids, Some(Ids { vendor: 0x8086, device: 0x1533, class: 2 }));
        assert_eq!(Ids::parse("virtio:d00000001v00001AF4"), None);
        assert_eq!(Ids::parse("pci:v00008086"), None);
    }

    #[test]
    fn addresses_are_told_from_other_names() {
        assert!(is_address("0000:03:00.0") && is_address("10000:e1:00.0"));
        assert!(!is_address("pci0000:00") && !is_address("card0") && !is_address("drm"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = (Ids::parse(&text), Ids::parse(&format!("pci:v{text}")), is_address(&text));
        }
    }
}
