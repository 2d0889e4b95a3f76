//! A worker's attributes as JSON, with the keys of upstream's `tinkerbell.org/agent-attributes` annotation.
//!
//! A field that was not sent is left out, one that was sent empty stays empty; the sections `chassis`, `bios`, `baseboard`,
//! `product`, `cpu` and `memory` are there in any case, `{}` when nothing was sent.

use serde_json::{Map, Value, json};
use tink_proto::v2025::AgentAttributes;

/// Builds an object, leaving out what is absent.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put<T: Into<Value>>(mut self, key: &str, value: Option<T>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
        self
    }

    fn list(mut self, key: &str, values: Vec<Value>) -> Self {
        if !values.is_empty() {
            self.0.insert(key.to_owned(), Value::Array(values));
        }
        self
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

fn texts(values: &[String]) -> Vec<Value> {
    values.iter().cloned().map(Value::from).collect()
}

/// The attributes as upstream stores them.
pub fn to_json(sent: &AgentAttributes) -> Value {
    let mut all = Map::new();
    all.insert("cpu".into(), cpu(sent));
    all.insert("memory".into(), memory(sent));
    all.extend(devices(sent).0);
    let chassis = sent.chassis.clone().unwrap_or_default();
    all.insert("chassis".into(), Fields::default().put("serial", chassis.serial).put("vendor", chassis.vendor).done());
    let bios = sent.bios.clone().unwrap_or_default();
    let bios =
        Fields::default().put("vendor", bios.vendor).put("version", bios.version).put("releaseDate", bios.release_date);
    all.insert("bios".into(), bios.done());
    let board = sent.baseboard.clone().unwrap_or_default();
    let board = Fields::default()
        .put("vendor", board.vendor)
        .put("product", board.product)
        .put("version", board.version)
        .put("serialNumber", board.serial_number);
    all.insert("baseboard".into(), board.done());
    let product = sent.product.clone().unwrap_or_default();
    let product = Fields::default()
        .put("name", product.name)
        .put("vendor", product.vendor)
        .put("serialNumber", product.serial_number);
    all.insert("product".into(), product.done());
    Value::Object(all)
}

fn cpu(sent: &AgentAttributes) -> Value {
    let Some(cpu) = &sent.cpu else { return json!({}) };
    let processors = cpu.processors.iter().map(|processor| {
        Fields::default()
            .put("id", processor.id)
            .put("cores", processor.cores)
            .put("threads", processor.threads)
            .put("vendor", processor.vendor.clone())
            .put("model", processor.model.clone())
            .list("capabilities", texts(&processor.capabilities))
            .done()
    });
    Fields::default()
        .put("totalCores", cpu.total_cores)
        .put("totalThreads", cpu.total_threads)
        .list("processors", processors.collect())
        .done()
}

fn memory(sent: &AgentAttributes) -> Value {
    let memory = sent.memory.clone().unwrap_or_default();
    Fields::default().put("total", memory.total).put("usable", memory.usable).done()
}

fn devices(sent: &AgentAttributes) -> Fields {
    let blocks = sent.block.iter().cloned().map(|block| {
        Fields::default()
            .put("name", block.name)
            .put("controllerType", block.controller_type)
            .put("driveType", block.drive_type)
            .put("size", block.size)
            .put("physicalBlockSize", block.physical_block_size)
            .put("vendor", block.vendor)
            .put("model", block.model)
            .put("wwn", block.wwn)
            .put("serialNumber", block.serial_number)
            .done()
    });
    let networks = sent.network.iter().cloned().map(|network| {
        Fields::default()
            .put("name", network.name)
            .put("mac", network.mac)
            .put("speed", network.speed)
            .list("enabledCapabilities", texts(&network.enabled_capabilities))
            .done()
    });
    let bus = |vendor, product, class, driver| {
        Fields::default()
            .put::<String>("vendor", vendor)
            .put::<String>("product", product)
            .put::<String>("class", class)
            .put::<String>("driver", driver)
            .done()
    };
    let pci = sent.pci.iter().cloned().map(|pci| bus(pci.vendor, pci.product, pci.class, pci.driver));
    let gpu = sent.gpu.iter().cloned().map(|gpu| bus(gpu.vendor, gpu.product, gpu.class, gpu.driver));
    Fields::default()
        .list("blockDevices", blocks.collect())
        .list("networkInterfaces", networks.collect())
        .list("pciDevices", pci.collect())
        .list("gpuDevices", gpu.collect())
}

#[cfg(test)]
mod tests {
    use tink_proto::v2025::{Block, Chassis, Cpu, Gpu, Memory, Network, Pci, Processor};

    use super::*;

    #[test]
    fn keys_are_upstreams_and_absent_stays_apart_from_empty() {
        let sent = AgentAttributes {
            cpu: Some(Cpu {
                total_cores: Some(8),
                processors: vec![Processor { id: Some(0), capabilities: vec!["avx".into()], ..Default::default() }],
                ..Default::default()
            }),
            memory: Some(Memory { total: Some("32GB".into()), usable: None }),
            block: vec![Block { name: Some("sda".into()), wwn: Some(String::new()), ..Default::default() }],
            network: vec![Network { mac: Some("08:00:27:00:00:01".into()), ..Default::default() }],
            pci: vec![Pci { class: Some("Bridge".into()), ..Default::default() }],
            gpu: vec![Gpu { vendor: Some("v".into()), ..Default::default() }],
            chassis: Some(Chassis { serial: Some("s".into()), vendor: None }),
            ..Default::default()
        };
        let expected = json!({
            "cpu": {"totalCores": 8, "processors": [{"id": 0, "capabilities": ["avx"]}]},
            "memory": {"total": "32GB"},
            "blockDevices": [{"name": "sda", "wwn": ""}],
            "networkInterfaces": [{"mac": "08:00:27:00:00:01"}],
            "pciDevices": [{"class": "Bridge"}],
            "gpuDevices": [{"vendor": "v"}],
            "chassis": {"serial": "s"}, "bios": {}, "baseboard": {}, "product": {},
        });
        assert_eq!(to_json(&sent), expected);
    }
}
