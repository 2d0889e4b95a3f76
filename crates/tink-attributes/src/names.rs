//! Names of PCI vendors, devices and classes: the PCI ID Project's, built in.

use std::collections::HashMap;
use std::io::Read as _;

/// See `data/README.md`.
const PACKED: &[u8] = include_bytes!("../data/pci.ids.gz");
/// Several times what is in there.
const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The names that are known.
#[derive(Debug, Default)]
pub(crate) struct Names {
    vendors: HashMap<u16, String>,
    devices: HashMap<(u16, u16), String>,
    classes: HashMap<u8, String>,
}

impl Names {
    pub(crate) fn builtin() -> Self {
        let mut text = String::new();
        // Built in, so it can be unpacked; if not, nothing has a name.
        let unpacked = flate2::read::GzDecoder::new(PACKED).take(TEXT_BYTES_MAX).read_to_string(&mut text);
        if unpacked.is_ok() { Self::parse(&text) } else { Self::default() }
    }

    fn parse(text: &str) -> Self {
        let mut names = Self::default();
        let mut vendor = None;
        for line in text.lines() {
            if let Some(class) = line.strip_prefix("C ") {
                vendor = None;
                if let Some((id, name)) = numbered(class)
                    && let Ok(id) = u8::try_from(id)
                {
                    names.classes.insert(id, name);
                }
            } else if let Some(device) = line.strip_prefix('\t') {
                if let (Some(vendor), Some((id, name))) = (vendor, numbered(device)) {
                    names.devices.insert((vendor, id), name);
                }
            } else if let Some((id, name)) = numbered(line) {
                vendor = Some(id);
                names.vendors.insert(id, name);
            }
        }
        names
    }

    pub(crate) fn vendor(&self, id: u16) -> Option<&str> {
        self.vendors.get(&id).map(String::as_str)
    }

    pub(crate) fn device(&self, vendor: u16, id: u16) -> Option<&str> {
        self.devices.get(&(vendor, id)).map(String::as_str)
    }

    pub(crate) fn class(&self, id: u8) -> Option<&str> {
        self.classes.get(&id).map(String::as_str)
    }
}

/// `8086  Intel Corporation`
fn numbered(line: &str) -> Option<(u16, String)> {
    let (id, name) = line.split_once("  ")?;
    Some((u16::from_str_radix(id, 16).ok()?, name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_names_are_there() {
        let names = Names::builtin();
        assert_eq!(names.vendor(0x8086), Some("Intel Corporation"));
        assert_eq!(names.device(0x8086, 0x1533), Some("I210 Gigabit Network Connection"));
        assert_eq!(names.device(0x1af4, 0x1000), Some("Virtio network device"));
        assert_eq!(names.class(0x02), Some("Network controller"));
        assert_eq!(names.vendor(0x7fff), None);
        assert!(names.devices.len() > 15_000, "{}", names.devices.len());
    }
}
