//! Hardware of the 2021 wire over Hardware objects.

use serde_json::Value;
use tink_proto::v2021::hardware::Hardware;
use tonic::Status;

use super::hardware_object::{from_stored, to_object};
use super::{Api, of_store, parsed, uid};
use crate::services::contexts::DEFAULT_NAMESPACE;
use crate::services::mac;
use crate::store::{ObjectKey, ObjectKind, StoredObject};

/// MAC addresses of an object, normalised.
pub fn macs(object: &Value) -> Vec<String> {
    let interfaces = object.pointer("/spec/interfaces").and_then(Value::as_array).into_iter().flatten();
    let text = |interface: &Value| Some(interface.pointer("/dhcp/mac")?.as_str()?.to_owned());
    interfaces
        .filter_map(text)
        .map(|text| mac::normalised(&text).unwrap_or_else(|| text.to_ascii_lowercase()))
        .collect()
}

/// Whether an object has this IP address: of an interface, or in the instance's metadata.
pub fn has_ip(object: &Value, ip: &str) -> bool {
    let list = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let is = |value: Option<&Value>| value.and_then(Value::as_str) == Some(ip);
    list("/spec/interfaces").any(|interface| is(interface.pointer("/dhcp/ip/address")))
        || list("/spec/metadata/instance/ip_addresses").any(|address| is(address.get("address")))
        || list("/spec/metadata/instance/ips").any(|address| is(address.get("address")))
}

impl Api {
    /// Stores hardware under its id.
    pub async fn push_hardware(&self, hardware: Option<Hardware>) -> Result<(), Status> {
        let mut hardware = hardware
            .filter(|hardware| !hardware.id.is_empty())
            .ok_or_else(|| Status::invalid_argument("invalid hardware data, must contain an id"))?;
        hardware.id.make_ascii_lowercase();
        for interface in hardware.network.iter_mut().flat_map(|network| &mut network.interfaces) {
            if let Some(dhcp) = &mut interface.dhcp {
                dhcp.mac.make_ascii_lowercase();
            }
        }
        if !uid::is_uuid(&hardware.id) {
            return Err(Status::invalid_argument(format!("invalid hardware id {:?}: a UUID is expected", hardware.id)));
        }
        let _changing = self.changing.lock().await;
        let all = self.objects(ObjectKind::Hardware).await?;
        let known = all.iter().find(|object| uid::of("Hardware", &object.key) == hardware.id);
        let key = known.map_or_else(
            || ObjectKey { namespace: DEFAULT_NAMESPACE.to_owned(), name: hardware.id.clone() },
            |object| object.key.clone(),
        );
        let object = to_object(&hardware, &key);
        for mac in macs(&object).into_iter().filter(|mac| !mac.is_empty()) {
            let owner = all.iter().find(|other| other.key != key && owns(other, &mac));
            if let Some(owner) = owner {
                let owner = uid::of("Hardware", &owner.key);
                return Err(Status::invalid_argument(format!(
                    "conflicting hardware MAC address {mac} provided with hardware data/info: hardware {owner} has it"
                )));
            }
        }
        let json = object.to_string();
        tink_manifest::read_file(json.as_bytes(), "").map_err(|errors| Status::invalid_argument(errors.to_string()))?;
        let (store, now) = (&self.engine.store, self.engine.now());
        let applied = store.apply_object(ObjectKind::Hardware, &key, json, now).await.map_err(of_store)?;
        tracing::info!(kind = "Hardware", %key, version = applied.object.version, "object applied");
        Ok(())
    }

    /// The hardware with this MAC address.
    pub async fn hardware_by_mac(&self, text: &str) -> Result<Hardware, Status> {
        let wanted = mac::normalised(text).unwrap_or_else(|| text.to_ascii_lowercase());
        let all = self.objects(ObjectKind::Hardware).await?;
        let found = all.iter().find(|object| owns(object, &wanted)).map(from_stored);
        found.ok_or_else(|| Status::not_found(format!("not found, mac:{text}")))
    }

    /// The hardware with this IP address.
    pub async fn hardware_by_ip(&self, ip: &str) -> Result<Hardware, Status> {
        let all = self.objects(ObjectKind::Hardware).await?;
        let found = all.iter().find(|object| object.json.contains(ip) && has_ip(&parsed(object), ip)).map(from_stored);
        found.filter(|_| !ip.is_empty()).ok_or_else(|| Status::not_found(format!("not found, ip:{ip}")))
    }

    /// The hardware with this id.
    pub async fn hardware_by_id(&self, id: &str) -> Result<Hardware, Status> {
        self.find_hardware(id).await.map(|object| from_stored(&object))
    }

    /// Every hardware.
    pub async fn all_hardware(&self) -> Result<Vec<Hardware>, Status> {
        Ok(self.objects(ObjectKind::Hardware).await?.iter().map(from_stored).collect())
    }

    /// Deletes the hardware with this id.
    pub async fn delete_hardware(&self, id: &str) -> Result<(), Status> {
        let StoredObject { key, .. } = self.find_hardware(id).await?;
        let store = &self.engine.store;
        store.delete_object(ObjectKind::Hardware, &key, self.engine.now()).await.map_err(of_store)?;
        tracing::info!(kind = "Hardware", %key, "object deleted");
        Ok(())
    }

    async fn find_hardware(&self, id: &str) -> Result<StoredObject, Status> {
        let missing = || Status::not_found(format!("not found, id:{id}"));
        let wanted = id.to_ascii_lowercase();
        if uid::is_uuid(&wanted) {
            let key = ObjectKey { namespace: DEFAULT_NAMESPACE.to_owned(), name: wanted.clone() };
            if let Some(object) = self.engine.store.object(ObjectKind::Hardware, &key).await.map_err(of_store)? {
                return Ok(object);
            }
        }
        let all = self.objects(ObjectKind::Hardware).await?;
        all.into_iter().find(|object| uid::of("Hardware", &object.key) == wanted).ok_or_else(missing)
    }
}

/// Whether the object has this MAC address, which is normalised.
pub fn owns(object: &StoredObject, mac: &str) -> bool {
    !mac.is_empty() && macs(&parsed(object)).iter().any(|own| own == mac)
}
