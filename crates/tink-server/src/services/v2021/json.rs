//! Messages as the JSON of the HTTP gateway: names as in the .proto, no empty fields unless said otherwise, 64-bit numbers as
//! text where protobuf's own encoder wrote them and as numbers where Go's did (hardware).

use serde_json::{Map, Value, json};
use tink_proto::v2021::hardware::Hardware;
use tink_proto::v2021::hardware::hardware::{Dhcp, Netboot, Network, dhcp, netboot, network::Interface};
use tink_proto::v2021::template::WorkflowTemplate;
use tink_proto::v2021::workflow::{State, Workflow, WorkflowActionStatus, WorkflowContext};

use crate::services::timestamp;

/// Builds an object without what is empty.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let empty = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_i64() == Some(0),
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Bool(true) | Value::Object(_) => false,
        };
        if !empty {
            self.0.insert(key.to_owned(), value);
        }
        self
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// Hardware with its metadata as text, as it is on the wire.
pub fn hardware_plain(hardware: &Hardware) -> Value {
    let network = hardware.network.as_ref().map(|network| {
        let interfaces: Vec<Value> = network.interfaces.iter().map(interface).collect();
        Fields::default().put("interfaces", interfaces).done()
    });
    Fields::default()
        .put("id", hardware.id.as_str())
        .put("metadata", hardware.metadata.as_str())
        .put("network", network)
        .put("version", hardware.version)
        .done()
}

/// Hardware with its metadata expanded, as in files and answers.
pub fn hardware(hardware: &Hardware) -> Value {
    let mut object = hardware_plain(hardware);
    if let Ok(metadata @ Value::Object(_)) = serde_json::from_str(&hardware.metadata) {
        object["metadata"] = metadata;
    }
    object
}

fn interface(interface: &Interface) -> Value {
    let dhcp = interface.dhcp.as_ref().map(|dhcp| {
        let ip = dhcp.ip.as_ref().map(|ip| {
            Fields::default()
                .put("address", ip.address.as_str())
                .put("family", ip.family)
                .put("gateway", ip.gateway.as_str())
                .put("netmask", ip.netmask.as_str())
                .done()
        });
        Fields::default()
            .put("arch", dhcp.arch.as_str())
            .put("hostname", dhcp.hostname.as_str())
            .put("iface_name", dhcp.iface_name.as_str())
            .put("ip", ip)
            .put("lease_time", dhcp.lease_time)
            .put("mac", dhcp.mac.as_str())
            .put("name_servers", dhcp.name_servers.clone())
            .put("time_servers", dhcp.time_servers.clone())
            .put("uefi", dhcp.uefi)
            .done()
    });
    let netboot = interface.netboot.as_ref().map(|netboot| {
        let ipxe = netboot.ipxe.as_ref();
        let ipxe =
            ipxe.map(|it| Fields::default().put("contents", it.contents.as_str()).put("url", it.url.as_str()).done());
        let osie = netboot.osie.as_ref().map(|osie| {
            Fields::default()
                .put("base_url", osie.base_url.as_str())
                .put("initrd", osie.initrd.as_str())
                .put("kernel", osie.kernel.as_str())
                .done()
        });
        Fields::default()
            .put("allow_pxe", netboot.allow_pxe)
            .put("allow_workflow", netboot.allow_workflow)
            .put("ipxe", ipxe)
            .put("osie", osie)
            .done()
    });
    Fields::default().put("dhcp", dhcp).put("netboot", netboot).done()
}

/// Hardware from a file or a request; its metadata may be an object or its text.
///
/// # Errors
/// Names the field that is not what it must be.
pub fn hardware_from(json: &Value) -> Result<Hardware, String> {
    let object = json.as_object().ok_or("a JSON object is expected")?;
    let metadata = match object.get("metadata") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let network = part(json, "network")?.map(network_from).transpose()?;
    Ok(Hardware { network, id: text(json, "id")?, version: number(json, "version")?, metadata })
}

fn network_from(network: &Value) -> Result<Network, String> {
    let interfaces = match network.get("interfaces") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(all)) => all.iter().map(interface_from).collect::<Result<_, _>>()?,
        Some(_) => return Err("interfaces: a list is expected".to_owned()),
    };
    Ok(Network { interfaces })
}

fn interface_from(interface: &Value) -> Result<Interface, String> {
    let dhcp = part(interface, "dhcp")?.map(dhcp_from).transpose()?;
    let netboot = part(interface, "netboot")?.map(netboot_from).transpose()?;
    Ok(Interface { dhcp, netboot })
}

fn dhcp_from(of: &Value) -> Result<Dhcp, String> {
    let ip = |ip: &Value| -> Result<dhcp::Ip, String> {
        Ok(dhcp::Ip {
            address: text(ip, "address")?,
            netmask: text(ip, "netmask")?,
            gateway: text(ip, "gateway")?,
            family: number(ip, "family")?,
        })
    };
    Ok(Dhcp {
        mac: text(of, "mac")?,
        hostname: text(of, "hostname")?,
        lease_time: number(of, "lease_time")?,
        name_servers: texts(of, "name_servers")?,
        time_servers: texts(of, "time_servers")?,
        arch: text(of, "arch")?,
        uefi: yes(of, "uefi")?,
        iface_name: text(of, "iface_name")?,
        ip: part(of, "ip")?.map(ip).transpose()?,
    })
}

fn netboot_from(of: &Value) -> Result<Netboot, String> {
    let ipxe = |it: &Value| -> Result<netboot::Ipxe, String> {
        Ok(netboot::Ipxe { url: text(it, "url")?, contents: text(it, "contents")? })
    };
    let osie = |it: &Value| -> Result<netboot::Osie, String> {
        Ok(netboot::Osie { base_url: text(it, "base_url")?, kernel: text(it, "kernel")?, initrd: text(it, "initrd")? })
    };
    Ok(Netboot {
        allow_pxe: yes(of, "allow_pxe")?,
        allow_workflow: yes(of, "allow_workflow")?,
        ipxe: part(of, "ipxe")?.map(ipxe).transpose()?,
        osie: part(of, "osie")?.map(osie).transpose()?,
    })
}

fn part<'a>(of: &'a Value, key: &str) -> Result<Option<&'a Value>, String> {
    match of.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(part @ Value::Object(_)) => Ok(Some(part)),
        Some(_) => Err(format!("{key}: an object is expected")),
    }
}

/// A text, empty when it is absent.
///
/// # Errors
/// When something else stands there.
pub fn text(of: &Value, key: &str) -> Result<String, String> {
    match of.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{key}: a string is expected")),
    }
}

fn texts(of: &Value, key: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("{key}: a list of strings is expected");
    match of.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(all)) => all.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

fn number(of: &Value, key: &str) -> Result<i64, String> {
    match of.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(number) => number.as_i64().ok_or_else(|| format!("{key}: a whole number is expected")),
    }
}

fn yes(of: &Value, key: &str) -> Result<bool, String> {
    match of.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(yes) => yes.as_bool().ok_or_else(|| format!("{key}: true or false is expected")),
    }
}

fn time(wire: Option<&prost_types::Timestamp>) -> Value {
    timestamp::from_wire(wire).map_or(Value::Null, |at| Value::from(at.to_string()))
}

fn state(number: i32) -> &'static str {
    State::try_from(number).unwrap_or(State::Pending).as_str_name()
}

/// A template.
pub fn template(template: &WorkflowTemplate) -> Value {
    Fields::default()
        .put("id", template.id.as_str())
        .put("name", template.name.as_str())
        .put("created_at", time(template.created_at.as_ref()))
        .put("updated_at", time(template.updated_at.as_ref()))
        .put("data", template.data.as_str())
        .done()
}

/// A workflow; PENDING is the default and left out.
pub fn workflow(workflow: &Workflow) -> Value {
    let state = if workflow.state == 0 { "" } else { state(workflow.state) };
    Fields::default()
        .put("id", workflow.id.as_str())
        .put("template", workflow.template.as_str())
        .put("hardware", workflow.hardware.as_str())
        .put("state", state)
        .put("created_at", time(workflow.created_at.as_ref()))
        .put("updated_at", time(workflow.updated_at.as_ref()))
        .put("data", workflow.data.as_str())
        .done()
}

/// A context, with everything in it.
pub fn context(context: &WorkflowContext) -> Value {
    json!({
        "workflow_id": context.workflow_id,
        "current_worker": context.current_worker,
        "current_task": context.current_task,
        "current_action": context.current_action,
        "current_action_index": context.current_action_index.to_string(),
        "current_action_state": state(context.current_action_state),
        "total_number_of_actions": context.total_number_of_actions.to_string(),
    })
}

/// A report, with everything in it.
pub fn status(status: &WorkflowActionStatus) -> Value {
    json!({
        "workflow_id": status.workflow_id,
        "task_name": status.task_name,
        "action_name": status.action_name,
        "action_status": state(status.action_status),
        "seconds": status.seconds.to_string(),
        "message": status.message,
        "created_at": time(status.created_at.as_ref()),
        "worker_id": status.worker_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_of_a_file_comes_back_as_it_was() {
        let file = json!({
            "id": "0eba0bf8-3772-4b4a-ab9f-6ebe93b90a94",
            "metadata": {"facility": {"facility_code": "ewr1"}, "state": ""},
            "network": {"interfaces": [{
                "dhcp": {
                    "arch": "x86_64", "ip": {"address": "192.168.1.5", "gateway": "192.168.1.1"},
                    "lease_time": 86400, "mac": "00:00:00:00:00:00", "name_servers": ["1.1.1.1"], "uefi": true,
                },
                "netboot": {"allow_pxe": true, "allow_workflow": true, "osie": {"base_url": "b"}, "ipxe": {"url": "u"}},
            }]},
            "version": 7,
        });
        assert_eq!(hardware(&hardware_from(&file).unwrap()), file);
        let plain = hardware_from(&json!({"id": "i", "metadata": "text"})).unwrap();
        assert_eq!(hardware(&plain), json!({"id": "i", "metadata": "text"}));
    }

    #[test]
    fn what_is_of_another_type_is_named() {
        for (file, field) in [
            (json!([]), "object"),
            (json!({"id": 1}), "id"),
            (json!({"network": []}), "network"),
            (json!({"network": {"interfaces": {}}}), "interfaces"),
            (json!({"network": {"interfaces": [{"dhcp": {"name_servers": [1]}}]}}), "name_servers"),
            (json!({"network": {"interfaces": [{"dhcp": {"lease_time": "1"}}]}}), "lease_time"),
            (json!({"network": {"interfaces": [{"netboot": {"allow_pxe": 1}}]}}), "allow_pxe"),
        ] {
            let error = hardware_from(&file).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    }
}
