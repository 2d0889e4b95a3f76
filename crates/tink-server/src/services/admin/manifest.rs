//! Objects from the wire: one manifest of the expected kind, and keys.

use tink_manifest::{Hardware, Manifest, Metadata, Template, WorkflowManifest, read_file};
use tink_proto::admin as wire;

use crate::store::{ObjectKey, ObjectKind};

/// The namespace of an object that names none.
const DEFAULT_NAMESPACE: &str = "default";
/// Bytes of a name or namespace in a key.
const NAME_BYTES_MAX: usize = 253;

/// What was found wrong, each with its field.
pub type Findings = Vec<String>;

/// Reads the one object of `json`.
fn one(expected: &str, json: &str) -> Result<Manifest, Findings> {
    let mut manifests = read_file(json.as_bytes(), "").map_err(|errors| {
        let finding = |error: &tink_manifest::ManifestError| match error.field.as_str() {
            "" => format!("{expected}: {}", error.problem),
            field => format!("{field}: {}", error.problem),
        };
        errors.errors.iter().map(finding).collect::<Findings>()
    })?;
    match (manifests.pop(), manifests.len()) {
        (Some(manifest), 0) if manifest.kind() == expected => Ok(manifest),
        (Some(manifest), 0) => Err(vec![format!("kind: found {}; allowed here: {expected}", manifest.kind())]),
        (_, more) => Err(vec![format!("found {} objects; allowed: one {expected} a call", more + 1)]),
    }
}

fn named(metadata: &Metadata) -> ObjectKey {
    ObjectKey { namespace: metadata.namespace.clone(), name: metadata.name.clone() }
}

fn other_kind(expected: &str) -> Findings {
    vec![format!("kind: allowed here: {expected}")]
}

/// Reads a Hardware object.
pub fn hardware(json: &str) -> Result<(ObjectKey, Hardware), Findings> {
    match one("Hardware", json)? {
        Manifest::Hardware(hardware) => Ok((named(&hardware.metadata), hardware)),
        _ => Err(other_kind("Hardware")),
    }
}

/// Reads a Template object.
pub fn template(json: &str) -> Result<(ObjectKey, Template), Findings> {
    match one("Template", json)? {
        Manifest::Template(template) => Ok((named(&template.metadata), template)),
        _ => Err(other_kind("Template")),
    }
}

/// Reads a Workflow object that can run, and what of it is not carried out.
pub fn workflow(json: &str) -> Result<(ObjectKey, WorkflowManifest, Vec<String>), Findings> {
    let Manifest::Workflow(workflow) = one("Workflow", json)? else { return Err(other_kind("Workflow")) };
    if workflow.disabled {
        let finding = "spec.disabled: found true; create the workflow when it shall run, it is offered at once";
        return Err(vec![finding.to_owned()]);
    }
    let mut warnings = Vec::new();
    if workflow.boot_options.is_some() {
        let warning = "spec.bootOptions: not carried out by this server; the machine must be booted otherwise";
        warnings.push(warning.to_owned());
    }
    Ok((named(&workflow.metadata), workflow, warnings))
}

/// The whole object that `json` holds, as its kind's manifest is written.
pub fn whole(expected: &str, json: &str) -> Result<serde_json::Value, Findings> {
    one(expected, json).map(|manifest| manifest.to_json())
}

/// A key from the wire, with the default namespace filled in.
pub fn key(key: Option<wire::Key>) -> Result<ObjectKey, Findings> {
    let key = key.unwrap_or_default();
    let namespace = if key.namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { key.namespace };
    check_name(&namespace).map_err(|why| vec![format!("key.namespace: {why}")])?;
    check_name(&key.name).map_err(|why| vec![format!("key.name: {why}")])?;
    Ok(ObjectKey { namespace, name: key.name })
}

/// A key with a slash in it would name another object.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("empty; 1 to {NAME_BYTES_MAX} characters are allowed"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("found {} bytes; at most {NAME_BYTES_MAX} are allowed", name.len()));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))) {
        Some(found) => Err(format!("{name:?} holds {found:?}; letters, digits, '-' and '.' are allowed")),
        None => Ok(()),
    }
}

/// The kind on the wire.
pub fn kind(kind: i32) -> Result<ObjectKind, Findings> {
    match wire::Kind::try_from(kind) {
        Ok(wire::Kind::Hardware) => Ok(ObjectKind::Hardware),
        Ok(wire::Kind::Template) => Ok(ObjectKind::Template),
        Ok(wire::Kind::Unspecified) | Err(_) => {
            Err(vec![format!("kind: found {kind}; 1 (Hardware) and 2 (Template) are allowed")])
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, spec: serde_json::Value) -> String {
        let api = "tinkerbell.org/v1alpha1";
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}, "spec": spec}).to_string()
    }

    #[test]
    fn a_workflow_manifest_names_every_wrong_field() {
        let findings = workflow(&object("Workflow", json!({"templateRef": [], "hardwareMap": {"a": []}}))).unwrap_err();
        for field in ["spec.templateRef", "spec.hardwareMap.a"] {
            assert!(findings.iter().any(|finding| finding.starts_with(field)), "{field} in {findings:?}");
        }
    }

    #[test]
    fn what_is_not_carried_out_is_said() {
        let disabled = object("Workflow", json!({"templateRef": "t", "disabled": true}));
        assert!(workflow(&disabled).unwrap_err()[0].starts_with("spec.disabled"));
        let booted = object("Workflow", json!({"templateRef": "t", "bootOptions": {"bootMode": "netboot"}}));
        assert!(workflow(&booted).unwrap().2[0].starts_with("spec.bootOptions"));
    }

    #[test]
    fn what_is_no_single_object_of_the_kind_is_refused() {
        for json in ["", "[]", "{", "null", "3", &object("Template", json!({"data": "x"})), "a: b\n---\nc: d\n"] {
            assert!(hardware(json).is_err(), "{json:?}");
        }
        assert!(hardware(&object("Hardware", json!({}))).is_ok());
    }

    #[test]
    fn keys_cannot_name_another_object() {
        let with = |namespace: &str, name: &str| {
            key(Some(wire::Key { namespace: namespace.to_owned(), name: name.to_owned() }))
        };
        assert_eq!(with("", "a").unwrap().to_string(), "default/a");
        for (namespace, name) in [("", ""), ("a/b", "c"), ("a", "b/c"), ("a", "b\n"), ("a", "ä")] {
            assert!(with(namespace, name).is_err(), "{namespace:?} {name:?}");
        }
    }
}
