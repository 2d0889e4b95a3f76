//! What the firmware says: SMBIOS by `/sys/class/dmi/id`, or the device tree of machines that have no SMBIOS.

use crate::{Machine, UNKNOWN};

const DMI: &str = "sys/class/dmi/id";
const DEVICE_TREE: &str = "sys/firmware/devicetree/base";

/// The chassis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chassis {
    /// Its serial number.
    pub serial: String,
    /// Its maker.
    pub vendor: String,
}

/// The firmware.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bios {
    /// Its maker.
    pub vendor: String,
    /// Its version.
    pub version: String,
    /// As its maker writes dates: `04/01/2014`.
    pub release_date: String,
}

/// The main board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseboard {
    /// Its maker.
    pub vendor: String,
    /// Its name.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Its serial number.
    pub serial_number: String,
}

/// The machine as it was sold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    /// Its name.
    pub name: String,
    /// Its maker.
    pub vendor: String,
    /// Its serial number.
    pub serial_number: String,
}

/// Where the firmware's words come from.
pub(crate) struct Firmware<'m> {
    machine: &'m Machine,
    is_device_tree: bool,
}

impl<'m> Firmware<'m> {
    pub(crate) fn of(machine: &'m Machine) -> Self {
        Self { machine, is_device_tree: !machine.has_dir(DMI) && machine.has_dir(DEVICE_TREE) }
    }

    pub(crate) fn chassis(&self) -> Chassis {
        Chassis {
            serial: self.say("chassis_serial", |tree| tree.serial()),
            vendor: self.say("chassis_vendor", |tree| tree.vendor()),
        }
    }

    pub(crate) fn bios(&self) -> Bios {
        Bios {
            vendor: self.say("bios_vendor", |tree| tree.u_boot().map(|_| "U-Boot".to_owned())),
            version: self.say("bios_version", |tree| tree.u_boot()),
            release_date: self.say("bios_date", |_| None),
        }
    }

    pub(crate) fn baseboard(&self) -> Baseboard {
        Baseboard {
            vendor: self.say("board_vendor", |tree| tree.vendor()),
            product: self.say("board_name", |tree| tree.model()),
            version: self.say("board_version", |_| None),
            serial_number: self.say("board_serial", |tree| tree.serial()),
        }
    }

    pub(crate) fn product(&self) -> Product {
        Product {
            name: self.say("product_name", |tree| tree.model()),
            vendor: self.say("sys_vendor", |tree| tree.vendor()),
            serial_number: self.say("product_serial", |tree| tree.serial()),
        }
    }

    fn say(&self, file: &str, by_tree: impl Fn(&DeviceTree<'_>) -> Option<String>) -> String {
        let found = if self.is_device_tree {
            by_tree(&DeviceTree(self.machine))
        } else {
            self.machine.text(&format!("{DMI}/{file}"))
        };
        found.unwrap_or_else(|| UNKNOWN.to_owned())
    }
}

/// The chip, as the device tree names it: `rockchip,rk3576`.
pub(crate) fn device_tree_soc(machine: &Machine) -> Option<String> {
    DeviceTree(machine).list("compatible").pop()
}

struct DeviceTree<'m>(&'m Machine);

impl DeviceTree<'_> {
    /// Strings end in zeros here.
    fn list(&self, name: &str) -> Vec<String> {
        let text = self.0.text(&format!("{DEVICE_TREE}/{name}")).unwrap_or_default();
        text.split('\0').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn first(&self, name: &str) -> Option<String> {
        self.list(name).into_iter().next()
    }

    fn model(&self) -> Option<String> {
        self.first("model")
    }

    fn serial(&self) -> Option<String> {
        self.first("serial-number")
    }

    fn vendor(&self) -> Option<String> {
        let compatible = self.first("compatible")?;
        let vendor = compatible.split(',').next().unwrap_or_default();
        (!vendor.is_empty()).then(|| vendor.to_owned())
    }

    fn u_boot(&self) -> Option<String> {
        self.first("chosen/u-boot,version")
    }
}
