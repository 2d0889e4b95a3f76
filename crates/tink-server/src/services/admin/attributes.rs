//! What a machine's worker found on it, shown with its Hardware as `status.attributes.inBand`.
//!
//! Upstream keeps the first attributes it got in an annotation and never looks again. Here the newest are kept with the worker,
//! and laid over the object when it is asked for: applying a Hardware cannot lose them, nor do they make it another object.

use serde_json::Value;
use tink_manifest::Hardware;
use tink_workflow::WorkerId;

use super::manifest;
use crate::engine::Engine;
use crate::store::{ObjectKind, StoreError, StoredObject, StoredWorker};

/// Ids by which a worker is looked for.
const IDS_MAX: usize = 16;

/// The object as it is shown: a Hardware with the attributes of its worker, if that sent any.
pub async fn beside(engine: &Engine, object: StoredObject) -> Result<StoredObject, StoreError> {
    if object.kind != ObjectKind::Hardware {
        return Ok(object);
    }
    let Ok((_, hardware)) = manifest::hardware(&object.json) else { return Ok(object) };
    engine.flush_presence().await?;
    let mut newest: Option<StoredWorker> = None;
    for id in ids(&hardware) {
        let found = engine.store.worker(&id).await?.filter(|worker| !worker.attributes_json.is_empty());
        newest = match (newest, found) {
            (Some(known), Some(found)) if found.last_seen > known.last_seen => Some(found),
            (known, found) => known.or(found),
        };
    }
    let attributes = newest.and_then(|worker| serde_json::from_str::<Value>(&worker.attributes_json).ok());
    Ok(match attributes.and_then(|attributes| laid_over(&object.json, attributes)) {
        Some(json) => StoredObject { json, ..object },
        None => object,
    })
}

/// By which ids the machine's worker may call: `agentID`, its MAC addresses, the object's name (workers of 2021).
fn ids(hardware: &Hardware) -> Vec<WorkerId> {
    let mut ids: Vec<String> = hardware.agent_id().map(str::to_owned).into_iter().collect();
    for mac in hardware.macs() {
        ids.push(mac.to_ascii_uppercase());
        ids.push(mac);
    }
    ids.push(hardware.metadata.name.clone());
    ids.truncate(IDS_MAX);
    ids.into_iter().filter_map(|id| WorkerId::parse(id).ok()).collect()
}

/// None when something else stands where the attributes belong.
fn laid_over(json: &str, attributes: Value) -> Option<String> {
    let mut object: Value = serde_json::from_str(json).ok()?;
    let mut at = object.as_object_mut()?;
    for key in ["status", "attributes"] {
        at = at.entry(key).or_insert_with(|| Value::Object(serde_json::Map::new())).as_object_mut()?;
    }
    at.insert("inBand".to_owned(), attributes);
    Some(object.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_stand_beside_what_else_is_in_the_status() {
        let laid = |object: Value| {
            laid_over(&object.to_string(), json!({"memory": {}}))
                .map(|json| serde_json::from_str::<Value>(&json).unwrap())
        };
        let found = json!({"status": {"attributes": {"inBand": {"memory": {}}}}});
        assert_eq!(laid(json!({})), Some(found));
        let object = json!({"status": {"state": "x", "attributes": {"outOfBand": 1, "inBand": "old"}}});
        let found = json!({"status": {"state": "x", "attributes": {"outOfBand": 1, "inBand": {"memory": {}}}}});
        assert_eq!(laid(object), Some(found));
        assert_eq!(laid(json!({"status": "text"})), None);
        assert_eq!(laid(json!([])), None);
    }
}
