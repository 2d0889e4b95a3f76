//! The older `Hardware` key: Go structs, reached by their Go field names.
//!
//! A table names the fields of every type; JSON is read by it, with Go's zero values for what is not there.

use std::rc::Rc;

use serde_json::Value as Json;

use crate::value::{Field, List, Pointer, Struct, StructType, Value};

/// The type of a field.
enum Kind {
    Text,
    Int,
    Bool,
    TextList,
    /// `*bool`
    BoolPointer,
    /// A struct.
    Is(&'static Shape),
    /// A pointer to a struct.
    To(&'static Shape),
    /// A slice of structs.
    Many(&'static Shape, &'static str),
    /// A slice of pointers to structs.
    ManyTo(&'static Shape, &'static str),
}

/// A struct type and the kinds of its fields.
struct Shape {
    kind: StructType,
    kinds: &'static [Kind],
}

/// `shape!(NAME, "package.Type", field Go "json" kind, ...)`
macro_rules! shape {
    ($shape:ident, $name:literal, $($field:literal $json:literal $kind:expr),+ $(,)?) => {
        static $shape: Shape = Shape {
            kind: StructType {
                name: $name,
                fields: &[$(Field { name: $field, json: $json, omit_empty: true }),+],
            },
            kinds: &[$($kind),+],
        };
    };
}

use Kind::{Bool, BoolPointer, Int, Is, Many, ManyTo, Text, TextList, To};

shape!(IPXE, "tinkerbell.IPXE", "URL" "url" Text, "Contents" "contents" Text, "Binary" "binary" Text);
shape!(OSIE, "tinkerbell.OSIE", "BaseURL" "baseURL" Text, "Kernel" "kernel" Text, "Initrd" "initrd" Text,
    "KernelParams" "kernelParams" TextList);
shape!(PXELINUX, "tinkerbell.PXELINUX", "Config" "config" Text);
shape!(RPI, "tinkerbell.RPI", "ConfigTxt" "configTxt" Text, "FirmwarePath" "firmwarePath" Text,
    "SerialNum" "serialNum" Text);
shape!(NETBOOT, "tinkerbell.Netboot", "AllowPXE" "allowPXE" BoolPointer, "AllowWorkflow" "allowWorkflow" BoolPointer,
    "IPXE" "ipxe" To(&IPXE), "OSIE" "osie" To(&OSIE), "PXELINUX" "pxelinux" To(&PXELINUX), "RPI" "rpi" To(&RPI));
shape!(ISOBOOT, "tinkerbell.Isoboot", "SourceISO" "sourceISO" Text);
shape!(IP, "tinkerbell.IP", "Address" "address" Text, "Netmask" "netmask" Text, "Gateway" "gateway" Text,
    "Family" "family" Int);
shape!(ROUTE, "tinkerbell.ClasslessStaticRoute", "DestinationDescriptor" "destination_descriptor" Text,
    "Router" "router" Text);
shape!(DHCP, "tinkerbell.DHCP", "MAC" "mac" Text, "Hostname" "hostname" Text, "DomainName" "domain_name" Text,
    "LeaseTime" "lease_time" Int, "NameServers" "name_servers" TextList, "TimeServers" "time_servers" TextList,
    "Arch" "arch" Text, "UEFI" "uefi" Bool, "IfaceName" "iface_name" Text, "IP" "ip" To(&IP), "VLANID" "vlan_id" Text,
    "ClasslessStaticRoutes" "classless_static_routes" Many(&ROUTE, "tinkerbell.ClasslessStaticRoute"),
    "TFTPServerName" "tftp_server_name" Text, "BootFileName" "boot_file_name" Text);
shape!(INTERFACE, "tinkerbell.Interface", "Netboot" "netboot" To(&NETBOOT), "Isoboot" "isoboot" To(&ISOBOOT),
    "DHCP" "dhcp" To(&DHCP), "DisableDHCP" "disableDhcp" Bool);
shape!(MANUFACTURER, "tinkerbell.MetadataManufacturer", "ID" "id" Text, "Slug" "slug" Text);
shape!(SYSTEM, "tinkerbell.MetadataInstanceOperatingSystem", "Slug" "slug" Text, "Distro" "distro" Text,
    "Version" "version" Text, "ImageTag" "image_tag" Text, "OsSlug" "os_slug" Text);
shape!(INSTANCE_IP, "tinkerbell.MetadataInstanceIP", "Address" "address" Text, "Netmask" "netmask" Text,
    "Gateway" "gateway" Text, "Family" "family" Int, "Public" "public" Bool, "Management" "management" Bool);
shape!(PARTITION, "tinkerbell.MetadataInstanceStorageDiskPartition", "Label" "label" Text, "Number" "number" Int,
    "Size" "size" Int, "Start" "start" Int, "TypeGUID" "type_guid" Text);
shape!(DISK, "tinkerbell.MetadataInstanceStorageDisk", "Device" "device" Text, "WipeTable" "wipe_table" Bool,
    "Partitions" "partitions" ManyTo(&PARTITION, "*tinkerbell.MetadataInstanceStorageDiskPartition"));
shape!(RAID, "tinkerbell.MetadataInstanceStorageRAID", "Name" "name" Text, "Level" "level" Text,
    "Devices" "devices" TextList, "Spare" "spare" Int);
shape!(FILE, "tinkerbell.MetadataInstanceStorageFile", "Path" "path" Text, "Contents" "contents" Text,
    "Mode" "mode" Int, "UID" "uid" Int, "GID" "gid" Int);
shape!(MAKE, "tinkerbell.MetadataInstanceStorageMountFilesystemOptions", "Force" "force" Bool,
    "Options" "options" TextList);
shape!(MOUNT, "tinkerbell.MetadataInstanceStorageMount", "Device" "device" Text, "Format" "format" Text,
    "Files" "files" ManyTo(&FILE, "*tinkerbell.MetadataInstanceStorageFile"), "Create" "create" To(&MAKE),
    "Point" "point" Text);
shape!(FILESYSTEM, "tinkerbell.MetadataInstanceStorageFilesystem", "Mount" "mount" To(&MOUNT));
shape!(STORAGE, "tinkerbell.MetadataInstanceStorage",
    "Disks" "disks" ManyTo(&DISK, "*tinkerbell.MetadataInstanceStorageDisk"),
    "Raid" "raid" ManyTo(&RAID, "*tinkerbell.MetadataInstanceStorageRAID"),
    "Filesystems" "filesystems" ManyTo(&FILESYSTEM, "*tinkerbell.MetadataInstanceStorageFilesystem"));
shape!(INSTANCE, "tinkerbell.MetadataInstance", "ID" "id" Text, "State" "state" Text, "Hostname" "hostname" Text,
    "AllowPxe" "allow_pxe" Bool, "Rescue" "rescue" Bool, "OperatingSystem" "operating_system" To(&SYSTEM),
    "AlwaysPxe" "always_pxe" Bool, "IpxeScriptURL" "ipxe_script_url" Text,
    "Ips" "ips" ManyTo(&INSTANCE_IP, "*tinkerbell.MetadataInstanceIP"), "Userdata" "userdata" Text,
    "CryptedRootPassword" "crypted_root_password" Text, "Tags" "tags" TextList, "Storage" "storage" To(&STORAGE),
    "SSHKeys" "ssh_keys" TextList, "NetworkReady" "network_ready" Bool);
shape!(CUSTOM, "tinkerbell.MetadataCustom",
    "PreinstalledOperatingSystemVersion" "preinstalled_operating_system_version" To(&SYSTEM),
    "PrivateSubnets" "private_subnets" TextList);
shape!(FACILITY, "tinkerbell.MetadataFacility", "PlanSlug" "plan_slug" Text, "PlanVersionSlug" "plan_version_slug" Text,
    "FacilityCode" "facility_code" Text);
shape!(METADATA, "tinkerbell.HardwareMetadata", "State" "state" Text, "BondingMode" "bonding_mode" Int,
    "Manufacturer" "manufacturer" To(&MANUFACTURER), "Instance" "instance" To(&INSTANCE), "Custom" "custom" To(&CUSTOM),
    "Facility" "facility" To(&FACILITY));
shape!(HARDWARE, "workflow.templateHardwareData", "Disks" "Disks" TextList,
    "Interfaces" "Interfaces" Many(&INTERFACE, "tinkerbell.Interface"), "UserData" "UserData" Text,
    "Metadata" "Metadata" Is(&METADATA), "VendorData" "VendorData" Text);

/// The value of `Hardware` for a Hardware object's `spec`.
pub(crate) fn hardware(spec: &Json) -> Value {
    let disks = spec.get("disks").and_then(Json::as_array).map(|disks| {
        let devices = disks.iter().map(|disk| disk.get("device").and_then(Json::as_str).unwrap_or_default());
        devices.map(Json::from).collect::<Vec<_>>()
    });
    let part = |name: &str| spec.get(name).cloned().unwrap_or(Json::Null);
    let json = serde_json::json!({
        "Disks": disks,
        "Interfaces": part("interfaces"),
        "UserData": part("userData"),
        "Metadata": part("metadata"),
        "VendorData": part("vendorData"),
    });
    read(&HARDWARE, &json)
}

fn read(shape: &'static Shape, json: &Json) -> Value {
    let fields = shape.kind.fields.iter().zip(shape.kinds);
    let values = fields.map(|(field, kind)| read_field(kind, json.get(field.json).unwrap_or(&Json::Null))).collect();
    Value::Struct(Rc::new(Struct { kind: &shape.kind, values }))
}

fn read_field(kind: &Kind, json: &Json) -> Value {
    match kind {
        Text => Value::str(json.as_str().unwrap_or_default()),
        Int => Value::int64(json.as_i64().unwrap_or_default()),
        Bool => Value::Bool(json.as_bool().unwrap_or_default()),
        TextList => list("string", json, |item| Value::str(item.as_str().unwrap_or_default())),
        BoolPointer => pointer("bool", json.as_bool().map(Value::Bool)),
        Is(shape) => read(shape, json),
        To(shape) => pointer(shape.kind.name, json.is_object().then(|| read(shape, json))),
        Many(shape, element) => list(element, json, |item| read(shape, item)),
        ManyTo(shape, element) => {
            list(element, json, |item| pointer(shape.kind.name, item.is_object().then(|| read(shape, item))))
        }
    }
}

fn pointer(target_type: &'static str, target: Option<Value>) -> Value {
    Value::Pointer(Pointer { target_type, target: target.map(Rc::new) })
}

fn list(element: &'static str, json: &Json, make: impl Fn(&Json) -> Value) -> Value {
    Value::List(match json.as_array() {
        Some(items) => List::new(element, items.iter().map(make).collect()),
        None => List::nil(element),
    })
}
