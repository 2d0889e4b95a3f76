//! tink v0.2 to v0.8: its workers, its CLI, and everything else that spoke to its server.
//!
//! | service | over |
//! |---|---|
//! | `…workflow.WorkflowService`, calls of workers | [`super::contexts`], and the data that actions share |
//! | `…workflow.WorkflowService`, calls of people | the engine's workflows |
//! | `…template.TemplateService`, `…hardware.HardwareService` | the same objects that `tink apply` stores |
//! | `…events.EventsService` | changes of those objects |
//!
//! [`Api`] is the calls as functions; gRPC (`grpc`) and the HTTP gateway (`crate::serve::gateway`) both call it.

mod data;
mod events;
mod grpc;
mod hardware;
mod hardware_object;
pub mod json;
mod rendered;
mod resolve;
mod template;
mod uid;
mod workflow;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::contexts::{Contexts, Volumes, WireId};
use crate::engine::Engine;
use crate::store::{ObjectKind, StoreError, StoredObject};

pub use grpc::{EventsGrpc, HardwareGrpc, TemplateGrpc, WorkflowGrpc};

/// The calls.
pub struct Api {
    engine: Arc<Engine>,
    contexts: Arc<Contexts>,
    /// Versions of a workflow's data that are kept.
    data_versions: u32,
    stopping: CancellationToken,
    /// Held from a look to the change that follows from it: names and MAC addresses are unique.
    changing: Mutex<()>,
}

impl Api {
    /// Serves `engine`.
    pub fn new(engine: Arc<Engine>, hold: Duration, data_versions: u32, stopping: CancellationToken) -> Self {
        let contexts = Contexts::new(Arc::clone(&engine), WireId::Flat, Volumes::BySource, hold, stopping.clone());
        Self { engine, contexts: Arc::new(contexts), data_versions, stopping, changing: Mutex::new(()) }
    }

    /// All objects of a kind, in every namespace.
    async fn objects(&self, kind: ObjectKind) -> Result<Vec<StoredObject>, Status> {
        self.engine.store.objects(kind, None).await.map_err(of_store)
    }
}

/// The status for a failure of the store; the causes go to the log.
fn of_store(error: StoreError) -> Status {
    tracing::warn!(error = %tink_error::chain(&error), "call failed");
    match &error {
        StoreError::Damaged { .. } => Status::data_loss(error.to_string()),
        _ => Status::unavailable(error.to_string()),
    }
}

/// A stored object as JSON; it was checked when it was stored.
fn parsed(object: &StoredObject) -> serde_json::Value {
    serde_json::from_str(&object.json).unwrap_or_default()
}

/// An annotation of an object, or empty.
fn annotation<'a>(object: &'a serde_json::Value, name: &str) -> &'a str {
    let annotations = object.pointer("/metadata/annotations");
    annotations.and_then(|all| all.get(name)).and_then(serde_json::Value::as_str).unwrap_or_default()
}
