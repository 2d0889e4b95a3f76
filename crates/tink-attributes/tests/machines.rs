//! Machines as their files describe them: a server, a virtual machine, an ARM board, and one that says nothing.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tink_attributes::{Attributes, Machine, collect};

/// A machine below a directory that goes with it.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("directories are made");
        fs::write(path, text).expect("a file is written");
        self
    }

    fn link(self, path: &str, target: &str) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("directories are made");
        symlink(target, path).expect("a link is made");
        self
    }

    fn collect(&self) -> Attributes {
        collect(&Machine::at(self.0.path()))
    }
}

/// Two packages of two cores with two threads; the last thread is offline.
fn server() -> Fixture {
    let mut server = Fixture::new();
    let mut cpuinfo = String::new();
    for cpu in 0..8 {
        let (package, core) = (cpu / 4, cpu % 4 / 2);
        let dir = format!("sys/devices/system/cpu/cpu{cpu}");
        server = server
            .file(&format!("{dir}/topology/physical_package_id"), &format!("{package}\n"))
            .file(&format!("{dir}/topology/core_id"), &format!("{core}\n"));
        if cpu > 0 {
            server = server.file(&format!("{dir}/online"), if cpu == 7 { "0\n" } else { "1\n" });
        }
        cpuinfo += &format!(
            "processor\t: {cpu}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz\n\
             flags\t\t: fpu vme avx2\n\n"
        );
    }
    let nic = "sys/devices/pci0000:00/0000:00:1f.6";
    server
        .file("sys/devices/system/cpu/cpufreq/policy0/x", "")
        .file("proc/cpuinfo", &cpuinfo)
        .file("proc/meminfo", "MemTotal:       32649740 kB\nMemFree:         100 kB\n")
        .file("sys/devices/system/memory/block_size_bytes", "80000000\n")
        .file("sys/devices/system/memory/memory0/state", "online\n")
        .file("sys/devices/system/memory/memory1/state", "online\n")
        .file("sys/devices/system/memory/memory2/state", "offline\n")
        .file("sys/block/sda/size", "500118192\n")
        .file("sys/block/sda/dev", "8:0\n")
        .file("sys/block/sda/queue/rotational", "0\n")
        .file("sys/block/sda/queue/physical_block_size", "4096\n")
        .file("sys/block/sda/device/vendor", "ATA     \n")
        .file(
            "run/udev/data/b8:0",
            "S:disk\nE:ID_MODEL=Samsung_SSD_860\nE:ID_SERIAL=ATA_S1\nE:ID_SERIAL_SHORT=S1\nE:ID_WWN=0x5\n",
        )
        .file("sys/block/nvme0n1/size", "0\n")
        .file("sys/block/nvme0n1/wwid", "eui.01\n")
        .file("sys/block/nvme0n1/device/model", "Fast Drive  \n")
        .file("sys/block/nvme0n1/device/serial", "N1\n")
        .file("sys/block/sr0/queue/rotational", "0\n")
        .file("sys/block/loop0/size", "8\n")
        .file("sys/block/dm-0/size", "8\n")
        .link("sys/class/net/eno1", "../../devices/pci0000:00/0000:00:1f.6/net/eno1")
        .file(&format!("{nic}/net/eno1/address"), "3c:ec:ef:00:00:01\n")
        .file(&format!("{nic}/net/eno1/addr_assign_type"), "0\n")
        .file(&format!("{nic}/net/eno1/speed"), "1000\n")
        .file(&format!("{nic}/modalias"), "pci:v00008086d00001533sv000015D9sd00001533bc02sc00i00\n")
        .link(&format!("{nic}/driver"), "../../../bus/pci/drivers/igb")
        .link("sys/bus/pci/devices/0000:00:1f.6", "../../../devices/pci0000:00/0000:00:1f.6")
        .file("sys/devices/pci0000:00/0000:00:02.0/modalias", "pci:v0000102Bd0000FFFEsv000015D9sd00000001bc03sc00i00\n")
        .link("sys/bus/pci/devices/0000:00:02.0", "../../../devices/pci0000:00/0000:00:02.0")
        .file("sys/bus/pci/devices/0000:00:00.0/modalias", "nonsense\n")
        .link("sys/class/drm/card0", "../../devices/pci0000:00/0000:00:02.0/drm/card0")
        .link("sys/class/drm/card0-VGA-1", "../../devices/pci0000:00/0000:00:02.0/drm/card0/card0-VGA-1")
        .link("sys/class/net/docker0", "../../devices/virtual/net/docker0")
        .file("sys/devices/virtual/net/docker0/address", "02:42:00:00:00:01\n")
        .link("sys/class/net/lo", "../../devices/virtual/net/lo")
        .file("sys/class/net/bonding_masters", "bond0\n")
        .file("sys/class/dmi/id/chassis_serial", "C1\n")
        .file("sys/class/dmi/id/chassis_vendor", "Supermicro\n")
        .file("sys/class/dmi/id/bios_vendor", "American Megatrends Inc.\n")
        .file("sys/class/dmi/id/bios_version", "3.3\n")
        .file("sys/class/dmi/id/bios_date", "02/21/2020\n")
        .file("sys/class/dmi/id/board_name", "X11DPU\n")
        .file("sys/class/dmi/id/product_name", " SYS-6029U \n")
}

#[test]
fn a_server_has_all_its_parts() {
    let server = server().collect();
    assert_eq!((server.cpu.total_cores, server.cpu.total_threads), (4, 7));
    let [first, second] = server.cpu.processors.as_slice() else { panic!("{:?}", server.cpu) };
    assert_eq!((first.id, first.cores, first.threads), (0, 2, 4));
    assert_eq!((second.id, second.cores, second.threads), (1, 2, 3));
    assert_eq!(first.model, "Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz");
    assert_eq!((first.vendor.as_str(), first.capabilities.len()), ("GenuineIntel", 3));
    assert_eq!((server.memory.total.as_str(), server.memory.usable.as_str()), ("4GB", "32GB"));
    assert_eq!((server.bios.version.as_str(), server.bios.release_date.as_str()), ("3.3", "02/21/2020"));
    assert_eq!((server.product.name.as_str(), server.product.vendor.as_str()), ("SYS-6029U", "unknown"));
    assert_eq!((server.chassis.serial.as_str(), server.baseboard.product.as_str()), ("C1", "X11DPU"));
}

#[test]
fn disks_are_described_by_udev_or_else_by_the_kernel() {
    let disks = server().collect().block;
    let names: Vec<_> = disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["nvme0n1", "sda", "sr0"]);
    let [nvme, sda, sr0] = disks.as_slice() else { panic!("{disks:?}") };
    assert_eq!((sda.controller_type.as_str(), sda.drive_type.as_str()), ("SCSI", "SSD"));
    assert_eq!((sda.size.as_str(), sda.physical_block_size.as_str()), ("239GB", "4KB"));
    assert_eq!((sda.vendor.as_str(), sda.model.as_str()), ("ATA", "Samsung_SSD_860"));
    assert_eq!((sda.serial_number.as_str(), sda.wwn.as_str()), ("S1", "0x5"));
    assert_eq!((nvme.controller_type.as_str(), nvme.drive_type.as_str(), nvme.size.as_str()), ("NVMe", "SSD", ""));
    assert_eq!((nvme.model.as_str(), nvme.serial_number.as_str(), nvme.wwn.as_str()), ("Fast Drive", "N1", "eui.01"));
    assert_eq!(nvme.vendor, "unknown");
    assert_eq!((sr0.drive_type.as_str(), sr0.model.as_str()), ("ODD", "unknown"));
}

#[test]
fn devices_have_names_and_one_that_says_nonsense_hides_no_other() {
    let server = server().collect();
    let [graphics, network] = server.pci.as_slice() else { panic!("{:?}", server.pci) };
    assert_eq!(network.vendor, "Intel Corporation");
    assert_eq!(network.product, "I210 Gigabit Network Connection");
    assert_eq!((network.class.as_str(), network.driver.as_deref()), ("Network controller", Some("igb")));
    assert_eq!(graphics.vendor, "Matrox Electronics Systems Ltd.");
    assert_eq!((graphics.product.as_str(), graphics.driver.as_deref()), ("unknown", None));
    assert_eq!(server.gpu, std::slice::from_ref(graphics));
}

#[test]
fn interfaces_that_stand_for_no_hardware_are_left_out() {
    let server = server().collect();
    let [only] = server.network.as_slice() else { panic!("{:?}", server.network) };
    assert_eq!((only.name.as_str(), only.mac.as_str(), only.speed.as_str()), ("eno1", "3c:ec:ef:00:00:01", "1000Mb/s"));
}

#[test]
fn a_virtual_machine_without_topology_memory_blocks_and_firmware_is_described() {
    let vm = Fixture::new()
        .file("sys/devices/system/cpu/cpu0/x", "")
        .file("sys/devices/system/cpu/cpu1/x", "")
        .file("proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t: fpu\n")
        .file("proc/meminfo", "MemTotal: 1048576 kB\n")
        .file("sys/block/vda/size", "2048\n")
        .link("sys/class/net/eth0", "../../devices/platform/soc/virtio1/net/eth0")
        .file("sys/devices/platform/soc/virtio1/net/eth0/address", "06:00:00:00:00:01\n")
        .file("sys/devices/platform/soc/virtio1/net/eth0/addr_assign_type", "3\n")
        .file("sys/devices/platform/soc/virtio1/net/eth0/speed", "-1\n")
        .collect();
    assert_eq!((vm.cpu.total_cores, vm.cpu.total_threads, vm.cpu.processors.len()), (1, 2, 1));
    assert_eq!(vm.cpu.processors[0].id, 0);
    assert_eq!((vm.memory.total.as_str(), vm.memory.usable.as_str()), ("1GB", "1GB"));
    assert_eq!((vm.block[0].controller_type.as_str(), vm.block[0].size.as_str()), ("virtio", "1MB"));
    assert_eq!((vm.network[0].mac.as_str(), vm.network[0].speed.as_str()), ("", ""));
    assert_eq!(vm.product.name, "unknown");
}

#[test]
fn a_board_without_smbios_is_described_by_its_device_tree() {
    let board = Fixture::new()
        .file("sys/devices/system/cpu/cpu0/topology/physical_package_id", "-1\n")
        .file("proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n\nSerial\t: 1\n")
        .file("sys/firmware/devicetree/base/model", "Raspberry Pi 4 Model B Rev 1.4\0")
        .file("sys/firmware/devicetree/base/compatible", "raspberrypi,4-model-b\0brcm,bcm2711\0")
        .file("sys/firmware/devicetree/base/serial-number", "10000000abcdef\0")
        .file("sys/firmware/devicetree/base/chosen/u-boot,version", "2024.01\0")
        .collect();
    let processor = &board.cpu.processors[0];
    assert_eq!((processor.id, processor.vendor.as_str(), processor.model.as_str()), (0, "ARM", "brcm,bcm2711"));
    assert_eq!(
        (board.product.name.as_str(), board.product.vendor.as_str()),
        ("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi")
    );
    assert_eq!((board.bios.vendor.as_str(), board.bios.version.as_str()), ("U-Boot", "2024.01"));
    assert_eq!(board.chassis.serial, "10000000abcdef");
}

#[test]
fn a_machine_that_says_nothing_is_described_all_the_same() {
    let nothing = collect(&Machine::at(Path::new("/nonexistent")));
    assert_eq!(nothing.cpu.total_threads, 0);
    assert!(nothing.block.is_empty() && nothing.network.is_empty() && nothing.pci.is_empty());
    assert_eq!((nothing.memory.total.as_str(), nothing.bios.vendor.as_str()), ("", "unknown"));
}

#[test]
fn this_machine_has_a_processor_and_memory() {
    let this = collect(&Machine::this());
    assert!(this.cpu.total_threads > 0 && !this.memory.usable.is_empty(), "{this:?}");
}
