//! What the server itself must know of an object's JSON; the rest is kept as it came.

use serde_json::{Map, Value};

use crate::store::{ObjectKey, ObjectKind};

/// The namespace of an object that names none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// Bytes of a name or namespace.
const NAME_BYTES_MAX: usize = 253;

/// Parses an object and its name.
///
/// # Errors
/// Findings that name the field.
pub fn object(kind: &str, json: &str) -> Result<(ObjectKey, Value), Vec<String>> {
    let value: Value = serde_json::from_str(json).map_err(|error| vec![format!("the {kind} is no JSON: {error}")])?;
    if !value.is_object() {
        return Err(vec![format!("the {kind} is {}; an object is expected", kind_of(&value))]);
    }
    let mut findings = Vec::new();
    match value.get("kind") {
        None => {}
        Some(Value::String(found)) if found == kind => {}
        Some(found) => findings.push(format!("kind: {found}; expected here: {kind:?}")),
    }
    let metadata = value.get("metadata").and_then(Value::as_object);
    let name = name(metadata, "name", None, &mut findings);
    let namespace = name_in(metadata, &mut findings);
    if findings.is_empty() { Ok((ObjectKey { namespace, name }, value)) } else { Err(findings) }
}

fn name_in(metadata: Option<&Map<String, Value>>, findings: &mut Vec<String>) -> String {
    name(metadata, "namespace", Some(DEFAULT_NAMESPACE), findings)
}

fn name(
    metadata: Option<&Map<String, Value>>,
    field: &str,
    default: Option<&str>,
    findings: &mut Vec<String>,
) -> String {
    match (metadata.and_then(|metadata| metadata.get(field)), default) {
        (None | Some(Value::Null), Some(default)) => return default.to_owned(),
        (Some(Value::String(empty)), Some(default)) if empty.is_empty() => return default.to_owned(),
        (Some(Value::String(name)), _) => match check_name(name) {
            Ok(()) => return name.clone(),
            Err(why) => findings.push(format!("metadata.{field}: {why}")),
        },
        (None | Some(Value::Null), None) => findings.push(format!("metadata.{field}: missing; every object needs one")),
        (Some(other), _) => findings.push(format!("metadata.{field}: {}; a text is expected", kind_of(other))),
    }
    String::new()
}

/// Names stand in workflow ids (`namespace/name`), in logs and in metrics.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("empty; 1 to 253 characters are allowed".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("{} bytes; at most {NAME_BYTES_MAX} are allowed", name.len()));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':'))) {
        Some(found) => Err(format!("{name:?} holds {found:?}; letters, digits, '-', '.', '_' and ':' are allowed")),
        None => Ok(()),
    }
}

/// A key from the wire, with the default namespace filled in.
pub fn key(key: Option<tink_proto::admin::Key>) -> Result<ObjectKey, Vec<String>> {
    let key = key.unwrap_or_default();
    let namespace = if key.namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { key.namespace };
    check_name(&namespace).map_err(|why| vec![format!("key.namespace: {why}")])?;
    check_name(&key.name).map_err(|why| vec![format!("key.name: {why}")])?;
    Ok(ObjectKey { namespace, name: key.name })
}

/// The kind on the wire.
pub fn kind(kind: i32) -> Result<ObjectKind, Vec<String>> {
    match tink_proto::admin::Kind::try_from(kind) {
        Ok(tink_proto::admin::Kind::Hardware) => Ok(ObjectKind::Hardware),
        Ok(tink_proto::admin::Kind::Template) => Ok(ObjectKind::Template),
        Ok(tink_proto::admin::Kind::Unspecified) | Err(_) => {
            Err(vec![format!("kind: {kind}; 1 (Hardware) and 2 (Template) are allowed")])
        }
    }
}

/// A template's source, `spec.data`.
pub fn template_source(template: &Value) -> Result<&str, Vec<String>> {
    match template.pointer("/spec/data") {
        Some(Value::String(source)) => Ok(source),
        None | Some(Value::Null) => Err(vec!["spec.data: missing; the template's text is expected".to_owned()]),
        Some(other) => Err(vec![format!("spec.data: {}; the template's text is expected", kind_of(other))]),
    }
}

/// What a Workflow manifest asks for.
pub struct Wish {
    /// Which workflow.
    pub key: ObjectKey,
    /// Name of its template, in the same namespace.
    pub template: String,
    /// Name of its hardware, in the same namespace.
    pub hardware: Option<String>,
    /// Entries for the template.
    pub hardware_map: Vec<(String, String)>,
    /// What was given and is not carried out.
    pub warnings: Vec<String>,
}

/// Reads a Workflow manifest.
pub fn workflow(json: &str) -> Result<Wish, Vec<String>> {
    let (key, value) = object("Workflow", json)?;
    let spec = value.get("spec");
    let field = |name: &str| spec.and_then(|spec| spec.get(name)).filter(|value| !value.is_null());
    let mut findings = Vec::new();
    let mut text = |name: &str| match field(name) {
        None => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => {
            findings.push(format!("spec.{name}: {}; a text is expected", kind_of(other)));
            None
        }
    };
    let (template, hardware) = (text("templateRef"), text("hardwareRef"));
    if template.is_none() && findings.is_empty() {
        findings.push("spec.templateRef: missing; the name of a template is expected".to_owned());
    }
    let mut hardware_map = Vec::new();
    match field("hardwareMap") {
        None => {}
        Some(Value::Object(entries)) => {
            for (name, value) in entries {
                match value {
                    Value::String(value) => hardware_map.push((name.clone(), value.clone())),
                    // Unquoted numbers and booleans in YAML.
                    Value::Number(_) | Value::Bool(_) => hardware_map.push((name.clone(), value.to_string())),
                    other => findings.push(format!("spec.hardwareMap.{name}: {}; a text is expected", kind_of(other))),
                }
            }
        }
        Some(other) => findings.push(format!("spec.hardwareMap: {}; an object is expected", kind_of(other))),
    }
    match field("disabled") {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => {
            findings
                .push("spec.disabled: true; create the workflow when it shall run, it is offered at once".to_owned());
        }
        Some(other) => findings.push(format!("spec.disabled: {}; true or false is expected", kind_of(other))),
    }
    let mut warnings = Vec::new();
    if field("bootOptions").is_some() {
        warnings
            .push("spec.bootOptions: not carried out by this server; the machine must be booted otherwise".to_owned());
    }
    match template {
        Some(template) if findings.is_empty() => Ok(Wish { key, template, hardware, hardware_map, warnings }),
        _ => Err(findings),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_manifest_names_every_wrong_field() {
        let json = r#"{"kind": "Workflow", "metadata": {"name": "w"},
            "spec": {"templateRef": 3, "hardwareMap": {"a": []}, "disabled": "x"}}"#;
        let findings = workflow(json).err().unwrap();
        for field in ["spec.templateRef", "spec.hardwareMap.a", "spec.disabled"] {
            assert!(findings.iter().any(|finding| finding.starts_with(field)), "{field} in {findings:?}");
        }
    }

    #[test]
    fn names_that_break_ids_are_refused() {
        for name in ["a/b", "", "a b", "ä"] {
            let json = serde_json::json!({"metadata": {"name": name}}).to_string();
            assert!(object("Hardware", &json).is_err(), "{name:?}");
        }
        assert!(object("Hardware", "[]").is_err());
        assert!(object("Hardware", "{").is_err());
        assert!(object("Hardware", r#"{"kind": "Template", "metadata": {"name": "a"}}"#).is_err());
    }

    #[test]
    fn an_empty_namespace_is_the_default_one() {
        let (key, _) = object("Hardware", r#"{"metadata": {"name": "a", "namespace": ""}}"#).unwrap();
        assert_eq!(key.to_string(), "default/a");
    }
}
