//! Hardware: one machine.

use serde_json::{Map, Value, json};
use tink_yaml::{Dialect, Node};

use crate::fields::Document;
use crate::{API_VERSION, Metadata, Problem};

/// A Hardware object. Templates see all of it, so all of it is kept.
#[derive(Clone, PartialEq)]
pub struct Hardware {
    /// Name, namespace, labels and annotations.
    pub metadata: Metadata,
    object: Value,
}

impl std::fmt::Debug for Hardware {
    /// Names the object only: user data and instance metadata hold passwords and keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hardware").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl Hardware {
    /// The whole object, `apiVersion`, `kind`, `metadata` (with its namespace), `spec` and `status` as they were given.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// `spec.agentID`: the worker of this machine, where its id is not the machine's MAC address.
    #[must_use]
    pub fn agent_id(&self) -> Option<&str> {
        self.object.pointer("/spec/agentID").and_then(Value::as_str).filter(|id| !id.is_empty())
    }

    /// MAC addresses of the interfaces, lower case, in file order.
    #[must_use]
    pub fn macs(&self) -> Vec<String> {
        let interfaces = self.object.pointer("/spec/interfaces").and_then(Value::as_array);
        let mac = |interface: &Value| interface.pointer("/dhcp/mac")?.as_str().map(str::to_ascii_lowercase);
        interfaces.into_iter().flatten().filter_map(mac).filter(|mac| !mac.is_empty()).collect()
    }

    /// Names of the other objects that templates of this machine may use, with what they refer to.
    #[must_use]
    pub fn references(&self) -> Vec<(&str, &Value)> {
        let references = self.object.pointer("/spec/references").and_then(Value::as_object);
        references.into_iter().flatten().map(|(name, reference)| (name.as_str(), reference)).collect()
    }

    pub(crate) fn read(document: &mut Document<'_>, root: &Node) -> Option<Self> {
        let metadata = Metadata::read(document, root);
        if let Some(spec) = document.mapping(root, "spec", "spec") {
            check(document, spec);
        }
        document.mapping(root, "status", "status");
        let mut object = match root.to_json(Dialect::Kubernetes) {
            Ok(object) => object,
            Err(error) => {
                document.yaml(error, "");
                return None;
            }
        };
        if let Some(own) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            overlay(own, metadata.to_json());
        }
        if let Some(object) = object.as_object_mut() {
            // An item of a HardwareList may leave them out.
            object.insert("apiVersion".to_owned(), json!(API_VERSION));
            object.insert("kind".to_owned(), json!("Hardware"));
        }
        Some(Self { metadata, object })
    }
}

/// Puts what was read of the metadata over it: the namespace is filled in, names and labels are text.
fn overlay(own: &mut Map<String, Value>, read: Value) {
    if let Value::Object(read) = read {
        own.extend(read);
    }
}

/// Checks what tink itself looks at.
fn check(document: &mut Document<'_>, spec: &Node) {
    document.text(spec, "agentID", "spec.agentID");
    document.mapping(spec, "references", "spec.references");
    let mut seen: Vec<(String, usize)> = Vec::new();
    for (nth, interface) in list(document, spec, "interfaces", "spec.interfaces").iter().enumerate() {
        let at = format!("spec.interfaces[{nth}].dhcp");
        if !interface.is_mapping() {
            document.wrong(interface, &format!("spec.interfaces[{nth}]"), "a mapping with `dhcp` and `netboot`");
            continue;
        }
        let Some(dhcp) = document.mapping(interface, "dhcp", &at) else { continue };
        let at = format!("{at}.mac");
        let mac = document.text(dhcp, "mac", &at).to_ascii_lowercase();
        let Some(node) = dhcp.get("mac").filter(|_| !mac.is_empty()) else { continue };
        if !is_mac(&mac) {
            document.wrong(node, &at, "six pairs of hex digits such as 08:00:27:00:00:01");
        } else if let Some((_, first_line)) = seen.iter().find(|(known, _)| *known == mac) {
            let found = format!("{mac}, which line {first_line} has, too");
            let allowed = "a MAC address of its own for each interface".to_owned();
            document.error(node, &at, Problem::Wrong { found, allowed });
        } else {
            seen.push((mac, node.line));
        }
    }
    for (nth, disk) in list(document, spec, "disks", "spec.disks").iter().enumerate() {
        if disk.is_mapping() {
            document.text(disk, "device", &format!("spec.disks[{nth}].device"));
        } else {
            document.wrong(disk, &format!("spec.disks[{nth}]"), "a mapping such as `device: /dev/sda`");
        }
    }
}

fn list<'node>(document: &mut Document<'_>, parent: &'node Node, key: &str, field: &str) -> &'node [Node] {
    match parent.get(key) {
        Some(node) if !node.is_sequence() && !node.is_null() => {
            document.wrong(node, field, "a list");
            &[]
        }
        Some(node) => node.items(),
        None => &[],
    }
}

fn is_mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    pairs.len() == 6 && pairs.iter().all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}
