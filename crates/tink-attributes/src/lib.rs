//! What hardware a machine has: processors, memory, disks, network interfaces, PCI devices, and what its firmware says of it.
//!
//! ```no_run
//! let attributes = tink_attributes::collect(&tink_attributes::Machine::this());
//! for disk in &attributes.block {
//!     println!("{} {} {}", disk.name, disk.size, disk.model);
//! }
//! ```
//!
//! Fields, sources and formats are those of Tinkerbell's Go agent, so that rules written for its attributes match these.
//! Everything comes from files below one root ([`Machine::at`], for tests) and, for network interfaces of the machine
//! itself, from the kernel's ethtool netlink family; no program is started. What cannot be read is left empty or, where
//! the Go agent has that word, `unknown`: nothing here fails.
//!
//! The names of PCI devices are built in, see `data/README.md`.
//!
//! Limits: Linux. Features of network interfaces need Linux 5.10. Serial numbers and models of disks are those of udev's
//! database, as with the Go agent, and else the kernel's own. Nothing is collected twice: call again for news.

mod block;
mod cpu;
mod ethtool;
mod features;
mod firmware;
mod machine;
mod memory;
mod names;
mod netlink;
mod network;
mod pci;
mod size;

pub use block::Block;
pub use cpu::{Cpu, Processor};
pub use firmware::{Baseboard, Bios, Chassis, Product};
pub use machine::Machine;
pub use memory::Memory;
pub use network::Network;
pub use pci::Pci;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Disks, and what else holds blocks.
    pub block: Vec<Block>,
    /// Network interfaces.
    pub network: Vec<Network>,
    /// PCI devices.
    pub pci: Vec<Pci>,
    /// Graphics cards, as PCI devices.
    pub gpu: Vec<Pci>,
    /// The chassis.
    pub chassis: Chassis,
    /// The firmware.
    pub bios: Bios,
    /// The main board.
    pub baseboard: Baseboard,
    /// The machine as it was sold.
    pub product: Product,
}

/// The word for what is not known, where the Go agent has it.
const UNKNOWN: &str = "unknown";

/// Collects everything. Takes some milliseconds, and blocks.
#[must_use]
pub fn collect(machine: &Machine) -> Attributes {
    let names = names::Names::builtin();
    let firmware = firmware::Firmware::of(machine);
    Attributes {
        cpu: cpu::collect(machine),
        memory: memory::collect(machine),
        block: block::collect(machine),
        network: network::collect(machine),
        pci: pci::devices(machine, &names),
        gpu: pci::graphics(machine, &names),
        chassis: firmware.chassis(),
        bios: firmware.bios(),
        baseboard: firmware.baseboard(),
        product: firmware.product(),
    }
}
