//! Hardware of the 2021 wire as a Hardware object, and back.
//!
//! Both have the same shape, one with snake_case names, one with those of Tinkerbell's manifests.

use serde_json::{Map, Value, json};
use tink_proto::v2021::hardware::Hardware;
use tink_proto::v2021::hardware::hardware::{Dhcp, Netboot, Network, dhcp, netboot, network::Interface};

use super::{annotation, uid};
use crate::store::{ObjectKey, StoredObject};

/// The version number that the client gave.
const VERSION: &str = "tink.tinkerbell.org/hardware-version";
/// Metadata that is no JSON object, as it came.
const METADATA: &str = "tink.tinkerbell.org/hardware-metadata";

/// Builds an object without what is empty, as protobuf leaves it out.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn text(mut self, key: &str, text: &str) -> Self {
        if !text.is_empty() {
            self.0.insert(key.to_owned(), json!(text));
        }
        self
    }

    fn number(mut self, key: &str, number: i64) -> Self {
        if number != 0 {
            self.0.insert(key.to_owned(), json!(number));
        }
        self
    }

    fn yes(mut self, key: &str, yes: bool) -> Self {
        if yes {
            self.0.insert(key.to_owned(), json!(true));
        }
        self
    }

    fn list(mut self, key: &str, texts: &[String]) -> Self {
        if !texts.is_empty() {
            self.0.insert(key.to_owned(), json!(texts));
        }
        self
    }

    fn part(mut self, key: &str, part: Option<Value>) -> Self {
        if let Some(part) = part {
            self.0.insert(key.to_owned(), part);
        }
        self
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// The object that keeps `hardware`, under its id.
pub fn to_object(hardware: &Hardware, key: &ObjectKey) -> Value {
    let metadata: Option<Value> = serde_json::from_str(&hardware.metadata).ok().filter(Value::is_object);
    let disks: Vec<Value> = metadata
        .as_ref()
        .and_then(|metadata| metadata.pointer("/instance/storage/disks")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|disk| disk.get("device")?.as_str())
        .map(|device| json!({ "device": device }))
        .collect();
    let interfaces = hardware.network.as_ref().map(|network| network.interfaces.iter().map(interface).collect());
    let text = if metadata.is_none() { hardware.metadata.as_str() } else { "" };
    let version = if hardware.version == 0 { String::new() } else { hardware.version.to_string() };
    let annotations = Fields::default().text(VERSION, &version).text(METADATA, text).done();
    let annotations = Some(annotations).filter(|all| all.as_object().is_some_and(|all| !all.is_empty()));
    let named = Fields::default().text("name", &key.name).text("namespace", &key.namespace);
    let spec = Fields::default()
        .part("disks", Some(Value::Array(disks)).filter(|disks| disks.as_array().is_some_and(|all| !all.is_empty())))
        .part("interfaces", interfaces)
        .part("metadata", metadata);
    json!({
        "apiVersion": "tinkerbell.org/v1alpha1",
        "kind": "Hardware",
        "metadata": named.part("annotations", annotations).done(),
        "spec": spec.done(),
    })
}

fn interface(interface: &Interface) -> Value {
    let dhcp = interface.dhcp.as_ref().map(|dhcp| {
        let ip = dhcp.ip.as_ref().map(|ip| {
            Fields::default()
                .text("address", &ip.address)
                .text("netmask", &ip.netmask)
                .text("gateway", &ip.gateway)
                .number("family", ip.family)
                .done()
        });
        Fields::default()
            .text("mac", &dhcp.mac)
            .text("hostname", &dhcp.hostname)
            .number("lease_time", dhcp.lease_time)
            .list("name_servers", &dhcp.name_servers)
            .list("time_servers", &dhcp.time_servers)
            .text("arch", &dhcp.arch)
            .yes("uefi", dhcp.uefi)
            .text("iface_name", &dhcp.iface_name)
            .part("ip", ip)
            .done()
    });
    let netboot = interface.netboot.as_ref().map(|netboot| {
        let ipxe = netboot.ipxe.as_ref();
        let ipxe = ipxe.map(|it| Fields::default().text("url", &it.url).text("contents", &it.contents).done());
        let osie = netboot.osie.as_ref().map(|osie| {
            Fields::default()
                .text("baseURL", &osie.base_url)
                .text("kernel", &osie.kernel)
                .text("initrd", &osie.initrd)
                .done()
        });
        Fields::default()
            .yes("allowPXE", netboot.allow_pxe)
            .yes("allowWorkflow", netboot.allow_workflow)
            .part("ipxe", ipxe)
            .part("osie", osie)
            .done()
    });
    Fields::default().part("dhcp", dhcp).part("netboot", netboot).done()
}

/// An object as hardware of the 2021 wire.
pub fn from_stored(object: &StoredObject) -> Hardware {
    from_object(&super::parsed(object), &object.key)
}

/// As [`from_stored`], of JSON.
pub fn from_object(object: &Value, key: &ObjectKey) -> Hardware {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let interfaces = spec.get("interfaces").and_then(Value::as_array);
    let metadata = match spec.get("metadata") {
        Some(metadata) => metadata.to_string(),
        None => annotation(object, METADATA).to_owned(),
    };
    Hardware {
        network: interfaces.map(|all| Network { interfaces: all.iter().map(from_interface).collect() }),
        id: uid::of("Hardware", key),
        version: annotation(object, VERSION).parse().unwrap_or_default(),
        metadata,
    }
}

fn text(object: &Value, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(object: &Value, key: &str) -> Vec<String> {
    let all = object.get(key).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn number(object: &Value, key: &str) -> i64 {
    object.get(key).and_then(Value::as_i64).unwrap_or_default()
}

fn yes(object: &Value, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn from_interface(interface: &Value) -> Interface {
    let part = |of: &Value, key: &str| of.get(key).filter(|part| part.is_object()).cloned();
    let dhcp = part(interface, "dhcp").map(|of| Dhcp {
        mac: text(&of, "mac"),
        hostname: text(&of, "hostname"),
        lease_time: number(&of, "lease_time"),
        name_servers: texts(&of, "name_servers"),
        time_servers: texts(&of, "time_servers"),
        arch: text(&of, "arch"),
        uefi: yes(&of, "uefi"),
        iface_name: text(&of, "iface_name"),
        ip: part(&of, "ip").map(|ip| dhcp::Ip {
            address: text(&ip, "address"),
            netmask: text(&ip, "netmask"),
            gateway: text(&ip, "gateway"),
            family: number(&ip, "family"),
        }),
    });
    let netboot = part(interface, "netboot").map(|of| Netboot {
        allow_pxe: yes(&of, "allowPXE"),
        allow_workflow: yes(&of, "allowWorkflow"),
        ipxe: part(&of, "ipxe").map(|it| netboot::Ipxe { url: text(&it, "url"), contents: text(&it, "contents") }),
        osie: part(&of, "osie").map(|osie| netboot::Osie {
            base_url: text(&osie, "baseURL"),
            kernel: text(&osie, "kernel"),
            initrd: text(&osie, "initrd"),
        }),
    });
    Interface { dhcp, netboot }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Hardware {
        let dhcp = Dhcp {
            mac: "08:00:27:00:00:01".into(),
            hostname: "h".into(),
            lease_time: 86400,
            name_servers: vec!["1.1.1.1".into()],
            time_servers: vec!["2.2.2.2".into()],
            arch: "x86_64".into(),
            uefi: true,
            iface_name: "eth0".into(),
            ip: Some(dhcp::Ip {
                address: "192.168.1.5".into(),
                netmask: "255.255.255.248".into(),
                gateway: "192.168.1.1".into(),
                family: 4,
            }),
        };
        let netboot = Netboot {
            allow_pxe: true,
            allow_workflow: true,
            ipxe: Some(netboot::Ipxe { url: "u".into(), contents: "c".into() }),
            osie: Some(netboot::Osie { base_url: "b".into(), kernel: "k".into(), initrd: "i".into() }),
        };
        let interfaces = vec![Interface { dhcp: Some(dhcp), netboot: Some(netboot) }, Interface::default()];
        Hardware {
            network: Some(Network { interfaces }),
            id: "0eba0bf8-3772-4b4a-ab9f-6ebe93b90a94".into(),
            version: 3,
            metadata: r#"{"instance":{"storage":{"disks":[{"device":"/dev/sda"}]}},"state":""}"#.into(),
        }
    }

    fn key(hardware: &Hardware) -> ObjectKey {
        ObjectKey { namespace: "default".into(), name: hardware.id.clone() }
    }

    #[test]
    fn hardware_comes_back_as_it_was_pushed() {
        let whole = whole();
        for metadata in [whole.metadata.as_str(), "", "plain", "[1]"] {
            let pushed = Hardware { metadata: metadata.into(), ..whole.clone() };
            assert_eq!(from_object(&to_object(&pushed, &key(&pushed)), &key(&pushed)), pushed);
        }
        let bare = Hardware { id: whole.id.clone(), ..Default::default() };
        assert_eq!(from_object(&to_object(&bare, &key(&bare)), &key(&bare)), bare);
    }

    #[test]
    fn the_object_is_a_manifest_that_templates_of_today_understand() {
        let whole = whole();
        let object = to_object(&whole, &key(&whole)).to_string();
        let manifests = tink_manifest::read_file(object.as_bytes(), "").unwrap();
        let tink_manifest::Manifest::Hardware(hardware) = &manifests[0] else { panic!("{object}") };
        assert_eq!(hardware.macs(), ["08:00:27:00:00:01"]);
        assert_eq!(hardware.object().pointer("/spec/disks/0/device").unwrap(), "/dev/sda");
        assert_eq!(hardware.object().pointer("/spec/interfaces/0/netboot/allowPXE").unwrap(), true);
    }
}
