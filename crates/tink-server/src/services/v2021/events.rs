//! Watch: what became of hardware, templates and workflows, from a moment of the last hour on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tink_proto::v2021::events::{Event, EventType, ResourceType, WatchRequest};
use tink_workflow::Timestamp;
use tokio::sync::watch;
use tonic::Status;

use super::hardware_object::from_object;
use super::{Api, annotation, json as wire_json, of_store, uid};
use crate::services::timestamp;
use crate::store::{ObjectChange, ObjectEvent};

/// Events read from the store at once.
const PAGE: usize = 64;

/// What a watch sends.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

/// Which events a client wants; empty lists want all.
struct Filter {
    resource: String,
    types: Vec<i32>,
    kinds: Vec<i32>,
    from: Option<Timestamp>,
}

impl Filter {
    fn passes(&self, event: &Event, at: Timestamp) -> bool {
        (self.resource.is_empty() || self.resource.eq_ignore_ascii_case(&event.resource_id))
            && (self.types.is_empty() || self.types.contains(&event.event_type))
            && (self.kinds.is_empty() || self.kinds.contains(&event.resource_type))
            && self.from.is_none_or(|from| at >= from)
    }
}

struct Watcher {
    api: Arc<Api>,
    filter: Filter,
    newest: watch::Receiver<i64>,
    /// Everything up to here was sent, or is none of the client's.
    after: i64,
    ready: VecDeque<Event>,
}

/// Starts a watch. It ends UNAVAILABLE when the server stops.
pub fn start(api: Arc<Api>, request: WatchRequest) -> EventStream {
    let filter = Filter {
        resource: request.resource_id,
        types: request.event_types,
        kinds: request.resource_types,
        from: timestamp::from_wire(request.watch_events_from.as_ref()),
    };
    from(api, filter, 0)
}

/// Watches one hardware from now on.
pub fn of_hardware(api: Arc<Api>, id: String) -> EventStream {
    let after = *api.engine.store.subscribe_objects().borrow();
    let filter = Filter { resource: id, types: Vec::new(), kinds: vec![ResourceType::Hardware.into()], from: None };
    from(api, filter, after)
}

fn from(api: Arc<Api>, filter: Filter, after: i64) -> EventStream {
    let newest = api.engine.store.subscribe_objects();
    let watcher = Watcher { api, filter, newest, after, ready: VecDeque::new() };
    Box::pin(stream::try_unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Ok(Some((event, watcher)))
    }))
}

impl Watcher {
    async fn next(&mut self) -> Result<Event, Status> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            // Marked as seen before it is read: what comes after is not missed.
            self.newest.borrow_and_update();
            let page = self.api.engine.store.object_events(self.after, PAGE).await.map_err(of_store)?;
            let Some(last) = page.last() else {
                tokio::select! {
                    changed = self.newest.changed() => {
                        changed.map_err(|_| Status::unavailable("the server is stopping"))?;
                    }
                    () = self.api.stopping.cancelled() => return Err(Status::unavailable("the server is stopping")),
                }
                continue;
            };
            self.after = last.sequence;
            for event in page {
                let message = to_wire(&event);
                if self.filter.passes(&message, event.at) {
                    self.ready.push_back(message);
                }
            }
        }
    }
}

fn to_wire(event: &ObjectEvent) -> Event {
    let resource_type = match event.kind.as_str() {
        "Hardware" => ResourceType::Hardware,
        "Template" => ResourceType::Template,
        "Workflow" => ResourceType::Workflow,
        _ => ResourceType::Unknown,
    };
    let event_type = match event.change {
        ObjectChange::Created => EventType::Created,
        ObjectChange::Updated => EventType::Updated,
        ObjectChange::Deleted => EventType::Deleted,
    };
    let key = crate::store::ObjectKey { namespace: "event".to_owned(), name: event.sequence.to_string() };
    Event {
        id: uid::of("Event", &key),
        resource_id: uid::of(&event.kind, &event.key),
        resource_type: resource_type.into(),
        event_type: event_type.into(),
        data: row(event).to_string().into_bytes(),
        created_at: Some(timestamp::to_wire(event.at)),
    }
}

/// The resource as a row of upstream's table.
fn row(event: &ObjectEvent) -> Value {
    let object: Value = serde_json::from_str(&event.json).unwrap_or_default();
    let id = uid::of(&event.kind, &event.key);
    let at = event.at.to_string();
    let deleted = (event.change == ObjectChange::Deleted).then(|| at.clone());
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match event.kind.as_str() {
        "Hardware" => {
            let data = wire_json::hardware_plain(&from_object(&object, &event.key));
            json!({"id": id, "inserted_at": at, "deleted_at": deleted, "data": data})
        }
        "Template" => json!({
            "id": id, "name": event.key.name, "updated_at": at, "deleted_at": deleted, "data": text("/spec/data"),
        }),
        _ => json!({
            "id": id,
            "template": annotation(&object, "tink.tinkerbell.org/template-id"),
            "devices": object.pointer("/spec/hardwareMap").cloned().unwrap_or_else(|| json!({})),
            "updated_at": at,
            "deleted_at": deleted,
        }),
    }
}
