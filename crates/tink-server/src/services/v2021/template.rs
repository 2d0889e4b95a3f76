//! Templates of the 2021 wire over Template objects.
//!
//! A template's name there may hold what an object's name may not (capitals, underscores, 200 characters): the object's name
//! is made of it, and it stands in an annotation where it differs.

use serde_json::{Map, Value, json};
use tink_proto::v2021::template::{GetRequest, WorkflowTemplate, get_request::GetBy};
use tonic::Status;

use super::{Api, annotation, of_store, parsed, uid};
use crate::services::contexts::DEFAULT_NAMESPACE;
use crate::services::{render, timestamp};
use crate::store::{ObjectKey, ObjectKind, StoredObject};

/// The template's name, where the object's differs.
const NAME: &str = "tink.tinkerbell.org/template-name";
/// Characters of a template's name.
const NAME_CHARS_MAX: usize = 200;
/// Characters of an object's name that is made of a template's.
const OBJECT_NAME_CHARS_MAX: usize = 200;

/// A Template object and what it is on this wire.
pub struct Found {
    /// The object's name.
    pub key: ObjectKey,
    /// As a message, whole.
    pub message: WorkflowTemplate,
}

fn found(object: &StoredObject) -> Found {
    let json = parsed(object);
    let name = Some(annotation(&json, NAME)).filter(|name| !name.is_empty()).unwrap_or(&object.key.name);
    let message = WorkflowTemplate {
        id: uid::of("Template", &object.key),
        name: name.to_owned(),
        created_at: Some(timestamp::to_wire(object.created_at)),
        updated_at: Some(timestamp::to_wire(object.updated_at)),
        deleted_at: None,
        data: json.pointer("/spec/data").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    Found { key: object.key.clone(), message }
}

impl Api {
    /// Stores a new template and returns its id.
    pub async fn create_template(&self, template: WorkflowTemplate) -> Result<String, Status> {
        check_name(&template.name)?;
        check_data(&template.data).await?;
        let _changing = self.changing.lock().await;
        let all = self.objects(ObjectKind::Template).await?;
        if all.iter().any(|object| found(object).message.name == template.name) {
            return Err(Status::already_exists(format!(
                "a template with the name {:?} exists already; update it, or delete it first",
                template.name
            )));
        }
        let key = fresh_key(&template.name, &all);
        self.put(&key, &template.name, &template.data).await?;
        Ok(uid::of("Template", &key))
    }

    /// A template by id or by name.
    pub async fn template(&self, request: GetRequest) -> Result<Found, Status> {
        let wanted = request.get_by.ok_or_else(|| {
            Status::invalid_argument("failed to get template: one GetBy field must be set to build a get condition")
        })?;
        let matches = |found: &Found| match &wanted {
            GetBy::Id(id) => found.message.id.eq_ignore_ascii_case(id),
            GetBy::Name(name) => found.message.name == *name,
        };
        let all = self.objects(ObjectKind::Template).await?;
        all.iter().map(found).find(matches).ok_or_else(|| match &wanted {
            GetBy::Id(id) => Status::not_found(format!("not found, id:{id}")),
            GetBy::Name(name) => Status::not_found(format!("not found, name:{name}")),
        })
    }

    /// Templates whose name matches, `*` standing for any text, without their data.
    pub async fn templates(&self, name: Option<&str>) -> Result<Vec<WorkflowTemplate>, Status> {
        let all = self.objects(ObjectKind::Template).await?;
        let all = all.iter().map(|object| WorkflowTemplate { data: String::new(), ..found(object).message });
        Ok(all.filter(|template| name.is_none_or(|pattern| matches(pattern, &template.name))).collect())
    }

    /// Changes name and data, each where it is given.
    pub async fn update_template(&self, template: WorkflowTemplate) -> Result<(), Status> {
        if !template.name.is_empty() {
            check_name(&template.name)?;
        }
        if !template.data.is_empty() {
            check_data(&template.data).await?;
        }
        let _changing = self.changing.lock().await;
        let before = self.template(GetRequest { get_by: Some(GetBy::Id(template.id)) }).await?;
        let or_before = |new: String, before: String| if new.is_empty() { before } else { new };
        let name = or_before(template.name, before.message.name);
        let data = or_before(template.data, before.message.data);
        self.put(&before.key, &name, &data).await
    }

    /// Deletes a template.
    pub async fn delete_template(&self, request: GetRequest) -> Result<(), Status> {
        let Found { key, .. } = self.template(request).await?;
        let store = &self.engine.store;
        store.delete_object(ObjectKind::Template, &key, self.engine.now()).await.map_err(of_store)?;
        tracing::info!(kind = "Template", %key, "object deleted");
        Ok(())
    }

    async fn put(&self, key: &ObjectKey, name: &str, data: &str) -> Result<(), Status> {
        let mut metadata = Map::new();
        metadata.insert("name".into(), json!(key.name));
        metadata.insert("namespace".into(), json!(key.namespace));
        if key.name != name {
            metadata.insert("annotations".into(), json!({ NAME: name }));
        }
        let object = json!({
            "apiVersion": "tinkerbell.org/v1alpha1", "kind": "Template", "metadata": metadata, "spec": {"data": data},
        });
        let (store, now) = (&self.engine.store, self.engine.now());
        let applied = store.apply_object(ObjectKind::Template, key, object.to_string(), now).await.map_err(of_store)?;
        tracing::info!(kind = "Template", %key, version = applied.object.version, "object applied");
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), Status> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(allowed) {
        return Err(Status::invalid_argument(format!(
            "invalid template name {name:?}: 1 to {NAME_CHARS_MAX} letters, digits, '-' and '_' are allowed"
        )));
    }
    Ok(())
}

/// Templates are programs of their authors: they are read on a thread of the blocking pool.
async fn check_data(data: &str) -> Result<(), Status> {
    if data.is_empty() {
        return Err(Status::invalid_argument("parsing yaml data: the template is empty"));
    }
    let data = data.to_owned();
    let checked = tokio::task::spawn_blocking(move || render::check_template(&data)).await;
    let checked = checked.map_err(|_| Status::internal("the check was interrupted; this is a bug"))?;
    checked.map(drop).map_err(|found| Status::invalid_argument(found.join("\n")))
}

/// An object's name that is like the template's and not taken.
fn fresh_key(name: &str, all: &[StoredObject]) -> ObjectKey {
    let like: String = name.to_ascii_lowercase().replace('_', "-");
    let like = like.trim_matches('-');
    let like = &like[..like.len().min(OBJECT_NAME_CHARS_MAX)];
    let free = |name: &str| {
        let is_taken = |object: &StoredObject| object.key.namespace == DEFAULT_NAMESPACE && object.key.name == name;
        !name.is_empty() && !all.iter().any(is_taken)
    };
    let name = if free(like) {
        like.to_owned()
    } else {
        format!("{like}-{}", &uid::fresh()[24..]).trim_matches('-').to_owned()
    };
    ObjectKey { namespace: DEFAULT_NAMESPACE.to_owned(), name }
}

/// Whether `text` matches `pattern`, in which `*` stands for any text, in any case.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in
            [("*", ""), ("a*", "Abc"), ("*c", "abc"), ("a*b*c", "a-b-b-c"), ("abc", "ABC"), ("**", "x")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", "ab"), ("a*c", "ab"), ("*b*", "ac"), ("ab*b", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn an_objects_name_is_made_of_the_templates() {
        let taken = StoredObject {
            kind: ObjectKind::Template,
            key: ObjectKey { namespace: "default".into(), name: "hello-world".into() },
            json: String::new(),
            version: 1,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        };
        assert_eq!(fresh_key("Hello_World", &[]).name, "hello-world");
        let other = fresh_key("hello-world", std::slice::from_ref(&taken)).name;
        assert!(other.starts_with("hello-world-") && tink_manifest::is_dns_subdomain(&other), "{other}");
        assert!(tink_manifest::is_dns_subdomain(&fresh_key("___", &[]).name));
    }
}
