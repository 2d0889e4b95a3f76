//! The objects that a Hardware refers to in `spec.references`, for templates.
//!
//! Whoever may apply Hardware can name any object there, so nothing is given unless the operator said so. What is not given
//! is left out, as upstream does: a template that does not use it renders as ever, one that does gets an error that says why.

use serde_json::{Value, json};
use tink_manifest::Hardware;
use tink_workflow::WorkflowId;

use super::manifest;
use crate::store::{ObjectKey, ObjectKind, Store, StoreError};

/// References of one Hardware that are looked up: a handful is usual, and each may be an object of the largest size.
const REFERENCES_MAX: usize = 64;
/// Bytes of all objects that one Hardware refers to.
const BYTES_MAX: usize = 16 * 1024 * 1024;

const GROUP: &str = "tinkerbell.org";
const VERSION: &str = "v1alpha1";

/// A reference that templates do not see.
#[derive(Debug, PartialEq, Eq)]
pub struct Absent {
    /// The name under which the Hardware refers to it.
    pub name: String,
    /// Where it stands, why it is not there, and what to do.
    pub why: String,
}

/// What became of the references.
#[derive(Default)]
pub struct References {
    /// Whole objects, by the name of the reference.
    pub objects: Vec<(String, Value)>,
    /// Those that are not given.
    pub absent: Vec<Absent>,
}

/// What a reference names.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Object(ObjectKind, ObjectKey),
    Workflow(WorkflowId),
}

/// The text of an object, and the state of a workflow.
struct Text {
    kind: &'static str,
    json: String,
    state: Option<&'static str>,
}

/// Looks the references of `hardware` up; with `allowed` false, none of them.
pub async fn look_up(store: &dyn Store, hardware: &Hardware, allowed: bool) -> Result<References, StoreError> {
    let mut found = References::default();
    let mut bytes = 0;
    for (nth, (name, reference)) in hardware.references().into_iter().enumerate() {
        let read = if !allowed {
            Err("references are not allowed by this server; start it with --allow-references".to_owned())
        } else if nth >= REFERENCES_MAX {
            Err(format!("not looked up; the first {REFERENCES_MAX} references of a Hardware are"))
        } else {
            match target(reference, &hardware.metadata.namespace) {
                Ok(target) => text(store, target).await?,
                Err(why) => Err(why),
            }
        };
        let object = read.and_then(|text| {
            bytes += text.json.len();
            if bytes > BYTES_MAX {
                return Err(format!("left out; all references of a Hardware may have {BYTES_MAX} bytes together"));
            }
            whole(&text)
        });
        match object {
            Ok(object) => found.objects.push((name.to_owned(), object)),
            Err(why) => {
                let why = format!("hardware {}: spec.references.{name}: {why}", hardware.metadata.name);
                found.absent.push(Absent { name: name.to_owned(), why });
            }
        }
    }
    Ok(found)
}

/// Reads a reference. Group and resource are taken in any case, as upstream does; a namespace that is missing is that of the
/// Hardware.
fn target(reference: &Value, namespace: &str) -> Result<Target, String> {
    let field = |name: &str| reference.get(name).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = (field("group").to_ascii_lowercase(), field("version"));
    let resource = field("resource").to_ascii_lowercase();
    let namespace = Some(field("namespace")).filter(|given| !given.is_empty()).unwrap_or(namespace).to_owned();
    let name = field("name").to_owned();
    if name.is_empty() {
        return Err("names no object; `name` is needed".to_owned());
    }
    let kind = match (group.as_str(), version, resource.as_str()) {
        (GROUP, VERSION, "hardware") => ObjectKind::Hardware,
        (GROUP, VERSION, "templates") => ObjectKind::Template,
        (GROUP, VERSION, "workflows") => {
            return WorkflowId::new(&namespace, &name).map(Target::Workflow).map_err(|error| error.to_string());
        }
        _ => {
            return Err(format!(
                "found {resource:?} of {group:?} {version:?}; this server keeps hardware, templates and workflows of \
                 {GROUP} {VERSION}"
            ));
        }
    };
    Ok(Target::Object(kind, ObjectKey { namespace, name }))
}

async fn text(store: &dyn Store, target: Target) -> Result<Result<Text, String>, StoreError> {
    Ok(match target {
        Target::Object(kind, key) => match store.object(kind, &key).await? {
            Some(object) => Ok(Text { kind: kind.as_str(), json: object.json, state: None }),
            None => Err(format!("there is no {kind} {key}; apply it first")),
        },
        Target::Workflow(id) => match store.workflow(&id).await? {
            Some(stored) => Ok(Text {
                kind: "Workflow",
                json: stored.manifest_json.to_string(),
                state: Some(stored.workflow.state.as_str()),
            }),
            None => Err(format!("there is no Workflow {id}; create it first")),
        },
    })
}

/// The object as templates see it: with `apiVersion`, `kind` and namespace, and for a workflow its state.
fn whole(text: &Text) -> Result<Value, String> {
    let mut object = manifest::whole(text.kind, &text.json).map_err(|found| found.join("; "))?;
    if let Some(state) = text.state {
        object["status"] = json!({ "state": state });
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(group: &str, version: &str, resource: &str, namespace: &str) -> Result<Target, String> {
        let reference =
            json!({"group": group, "version": version, "resource": resource, "namespace": namespace, "name": "a"});
        target(&reference, "lab")
    }

    #[test]
    fn only_what_the_store_keeps_can_be_referred_to() {
        let key = |namespace: &str| ObjectKey { namespace: namespace.to_owned(), name: "a".to_owned() };
        let hardware = named("Tinkerbell.org", "v1alpha1", "Hardware", "other");
        assert_eq!(hardware, Ok(Target::Object(ObjectKind::Hardware, key("other"))));
        let template = named("tinkerbell.org", "v1alpha1", "templates", "");
        assert_eq!(template, Ok(Target::Object(ObjectKind::Template, key("lab"))));
        let workflow = named("tinkerbell.org", "v1alpha1", "workflows", "x");
        assert_eq!(workflow, Ok(Target::Workflow(WorkflowId::new("x", "a").unwrap())));
        for (group, version, resource) in
            [("", "v1", "secrets"), ("tinkerbell.org", "v1alpha2", "hardware"), ("tinkerbell.org", "v1alpha1", "jobs")]
        {
            let why = named(group, version, resource, "x").unwrap_err();
            assert!(why.contains(resource) && why.contains("hardware, templates and workflows"), "{why}");
        }
        for reference in [json!(null), json!("a"), json!([]), json!({"group": 1}), json!({"name": {}})] {
            assert!(target(&reference, "lab").unwrap_err().contains("`name` is needed"));
        }
    }
}
