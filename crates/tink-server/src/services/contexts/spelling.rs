//! By which names a worker is known.
//!
//! A worker of these generations runs an action only if the action's worker id is, letter for letter, its own. Templates name
//! workers by MAC address, in whatever case; machines of the 2021 stack call themselves by the id of their hardware. So a
//! worker is looked for under all its names, and the actions are sent with the name it asked by.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tink_workflow::{WorkerId, WorkflowId};

use super::id::DEFAULT_NAMESPACE;
use crate::engine::Engine;
use crate::services::mac;
use crate::store::{ObjectKey, ObjectKind, StoreError};

/// Spellings remembered; a worker asks for its contexts before it asks for actions, so a lost one comes again.
const SPELLINGS_MAX: usize = 10_000;
/// Names of one worker that are looked for.
const NAMES_MAX: usize = 8;

/// How workers spell their ids, where templates spell them otherwise.
#[derive(Default)]
pub struct Spellings(Mutex<HashMap<(WorkflowId, WorkerId), WorkerId>>);

impl Spellings {
    /// Notes that the worker which `workflow` knows as `known` calls itself `own`.
    pub fn note(&self, workflow: &WorkflowId, known: &WorkerId, own: &WorkerId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (workflow.clone(), known.clone());
        if known == own {
            all.remove(&key);
            return;
        }
        if all.len() >= SPELLINGS_MAX {
            all.clear();
        }
        all.insert(key, own.clone());
    }

    /// How the worker that `workflow` knows as `known` calls itself.
    pub fn of(&self, workflow: &WorkflowId, known: &WorkerId) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(workflow.clone(), known.clone())).unwrap_or(known).to_string()
    }
}

/// The names under which workflows may know a worker, its own first.
pub async fn names_of(engine: &Engine, own: &WorkerId) -> Result<Vec<WorkerId>, StoreError> {
    let mut names = vec![own.clone()];
    let mut add = |name: &str| {
        if let Ok(name) = WorkerId::parse(name)
            && !names.contains(&name)
            && names.len() < NAMES_MAX
        {
            names.push(name);
        }
    };
    if let Some(lower) = mac::normalised(own.as_str()) {
        add(&lower);
        add(&lower.to_ascii_uppercase());
        return Ok(names);
    }
    let key = ObjectKey { namespace: DEFAULT_NAMESPACE.to_owned(), name: own.as_str().to_ascii_lowercase() };
    if let Some(hardware) = engine.store.object(ObjectKind::Hardware, &key).await? {
        let object: serde_json::Value = serde_json::from_str(&hardware.json).unwrap_or_default();
        if let Some(agent) = object.pointer("/spec/agentID").and_then(serde_json::Value::as_str) {
            add(agent);
        }
        for interface in object.pointer("/spec/interfaces").and_then(serde_json::Value::as_array).into_iter().flatten()
        {
            if let Some(text) = interface.pointer("/dhcp/mac").and_then(serde_json::Value::as_str) {
                add(&text.to_ascii_lowercase());
                add(&text.to_ascii_uppercase());
            }
        }
    }
    Ok(names)
}
