//! Disks, from `/sys/block` and udev's database.

use std::collections::HashMap;

use crate::size::human;
use crate::{Machine, UNKNOWN};

/// The kernel counts in sectors of this size, whatever the disk's own is.
const SECTOR_BYTES: u64 = 512;

/// A disk, or what else holds blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The kernel's name: `sda`.
    pub name: String,
    /// `SCSI`, `IDE`, `virtio`, `NVMe` or `MMC`.
    pub controller_type: String,
    /// `HDD`, `SSD` or `ODD`.
    pub drive_type: String,
    /// Such as `239GB`.
    pub size: String,
    /// Such as `4KB`.
    pub physical_block_size: String,
    /// Its maker.
    pub vendor: String,
    /// Its model.
    pub model: String,
    /// Its world-wide name.
    pub wwn: String,
    /// Its serial number.
    pub serial_number: String,
}

pub(crate) fn collect(machine: &Machine) -> Vec<Block> {
    machine.names("sys/block").into_iter().filter_map(|name| disk(machine, name)).collect()
}

fn disk(machine: &Machine, name: String) -> Option<Block> {
    let (controller, mut drive) = kind(&name)?;
    let text = |file: &str| machine.text(&format!("sys/block/{name}/{file}"));
    let number = |file: &str| machine.number(&format!("sys/block/{name}/{file}")).unwrap_or(0);
    if drive == "HDD" && text("queue/rotational").as_deref() != Some("1") {
        drive = "SSD";
    }
    let udev = udev(machine, text("dev").as_deref().unwrap_or_default());
    let first = |keys: &[&str]| keys.iter().find_map(|key| udev.get(*key)).cloned();
    // Without udev, as in a small installer OS, the kernel itself knows.
    let own = |files: &[&str]| files.iter().find_map(|file| text(file).filter(|text| !text.is_empty()));
    let or_unknown = |found: Option<String>| found.unwrap_or_else(|| UNKNOWN.to_owned());
    Some(Block {
        controller_type: controller.to_owned(),
        drive_type: drive.to_owned(),
        size: human(number("size").saturating_mul(SECTOR_BYTES)),
        physical_block_size: human(number("queue/physical_block_size")),
        vendor: or_unknown(text("device/vendor")),
        model: or_unknown(first(&["ID_MODEL"]).or_else(|| own(&["device/model"]))),
        wwn: or_unknown(
            first(&["ID_WWN_WITH_EXTENSION", "ID_WWN", "DM_WWN"]).or_else(|| own(&["wwid", "device/wwid"])),
        ),
        serial_number: or_unknown(
            first(&["SCSI_IDENT_SERIAL", "ID_SCSI_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"])
                .or_else(|| own(&["device/serial", "serial"])),
        ),
        name,
    })
}

/// Controller and kind of drive, by the name. Loop devices, mapped ones, RAM disks and floppies are left out.
fn kind(name: &str) -> Option<(&'static str, &'static str)> {
    const KINDS: [(&str, &str, &str); 7] = [
        ("sd", "SCSI", "HDD"),
        ("hd", "IDE", "HDD"),
        ("vd", "virtio", "HDD"),
        ("nvme", "NVMe", "SSD"),
        ("sr", "SCSI", "ODD"),
        ("xvd", "SCSI", "HDD"),
        ("mmc", "MMC", "SSD"),
    ];
    KINDS.iter().find(|(prefix, ..)| name.starts_with(prefix)).map(|(_, controller, drive)| (*controller, *drive))
}

/// What udev's database says of a device, by its number `major:minor`.
fn udev(machine: &Machine, device: &str) -> HashMap<String, String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    if !is_number(device) {
        return HashMap::new();
    }
    let text = machine.text(&format!("run/udev/data/b{device}")).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
