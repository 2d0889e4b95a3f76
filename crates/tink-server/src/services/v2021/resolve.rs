//! From a template's `worker`, a MAC or IPv4 address, to the worker's id.

use std::net::Ipv4Addr;

use tonic::Status;

use super::hardware::{has_ip, owns};
use super::{parsed, uid};
use crate::services::mac;
use crate::store::StoredObject;

/// The id of the worker at `address`.
///
/// Hardware that was pushed over this wire has workers that call themselves by its id. Hardware that was applied otherwise
/// has its `agentID`, or the MAC address.
///
/// # Errors
/// As upstream: the address is none, or no hardware has it.
pub fn worker(address: &str, hardware: &[StoredObject]) -> Result<String, Status> {
    let (what, found) = if let Some(mac) = mac::normalised(address) {
        ("mac", hardware.iter().find(|object| owns(object, &mac)))
    } else if address.parse::<Ipv4Addr>().is_ok() {
        let has = |object: &&StoredObject| object.json.contains(address) && has_ip(&parsed(object), address);
        ("ip", hardware.iter().find(has))
    } else if hardware.iter().any(|object| uid::of("Hardware", &object.key) == address) {
        return Ok(address.to_owned());
    } else {
        return Err(Status::invalid_argument(format!(
            "invalid worker address: {address}; a MAC or IPv4 address of pushed hardware is expected"
        )));
    };
    let object = found.ok_or_else(|| {
        Status::invalid_argument(format!("no worker found: {what}: {address}; push its hardware first"))
    })?;
    if uid::is_own(&object.key) {
        return Ok(object.key.name.clone());
    }
    let json = parsed(object);
    if let Some(agent) = json.pointer("/spec/agentID").and_then(serde_json::Value::as_str).filter(|id| !id.is_empty()) {
        return Ok(agent.to_owned());
    }
    let first = super::hardware::macs(&json).into_iter().next();
    Ok(mac::normalised(address).or(first).unwrap_or_else(|| address.to_owned()))
}
