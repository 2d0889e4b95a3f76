//! Hardware and templates.

use std::sync::Arc;

use tink_proto::admin::object_service_server::ObjectService;
use tink_proto::admin::{
    ApplyRequest, ApplyResponse, Empty, ListRequest, ListResponse, Object, ObjectRequest, apply_response,
};
use tonic::{Request, Response, Status};

use super::{attributes, convert, manifest, status};
use crate::engine::Engine;
use crate::services::render;
use crate::store::{ObjectKind, Outcome};

/// The service.
pub struct Objects {
    engine: Arc<Engine>,
}

impl Objects {
    /// Serves the objects of `engine`'s store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl ObjectService for Objects {
    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let request = request.into_inner();
        let kind = manifest::kind(request.kind).map_err(|found| status::findings(&found))?;
        let checked = match kind {
            ObjectKind::Hardware => manifest::hardware(&request.json).map(|(key, _)| (key, Vec::new())),
            ObjectKind::Template => manifest::template(&request.json)
                .and_then(|(key, template)| Ok((key, render::check_template(&template.data)?))),
        };
        let (key, warnings) = checked.map_err(|found| status::findings(&found))?;
        let now = self.engine.now();
        let applied = self.engine.store.apply_object(kind, &key, request.json, now).await.map_err(status::of_store)?;
        let outcome = match applied.outcome {
            Outcome::Created => apply_response::Outcome::Created,
            Outcome::Updated => apply_response::Outcome::Updated,
            Outcome::Unchanged => apply_response::Outcome::Unchanged,
        };
        if applied.outcome != Outcome::Unchanged {
            tracing::info!(%kind, %key, version = applied.object.version, "object applied");
        }
        let object = Some(convert::object(applied.object));
        Ok(Response::new(ApplyResponse { outcome: outcome.into(), object, warnings }))
    }

    async fn get(&self, request: Request<ObjectRequest>) -> Result<Response<Object>, Status> {
        let request = request.into_inner();
        let kind = manifest::kind(request.kind).map_err(|found| status::findings(&found))?;
        let key = manifest::key(request.key).map_err(|found| status::findings(&found))?;
        match self.engine.store.object(kind, &key).await.map_err(status::of_store)? {
            Some(object) => {
                let object = attributes::beside(&self.engine, object).await.map_err(status::of_store)?;
                Ok(Response::new(convert::object(object)))
            }
            None => Err(Status::not_found(format!("there is no {kind} {key}"))),
        }
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let request = request.into_inner();
        let kind = manifest::kind(request.kind).map_err(|found| status::findings(&found))?;
        let namespace = Some(request.namespace).filter(|namespace| !namespace.is_empty());
        let objects = self.engine.store.objects(kind, namespace.as_deref()).await.map_err(status::of_store)?;
        Ok(Response::new(ListResponse { objects: objects.into_iter().map(convert::object).collect() }))
    }

    async fn delete(&self, request: Request<ObjectRequest>) -> Result<Response<Empty>, Status> {
        let request = request.into_inner();
        let kind = manifest::kind(request.kind).map_err(|found| status::findings(&found))?;
        let key = manifest::key(request.key).map_err(|found| status::findings(&found))?;
        if self.engine.store.delete_object(kind, &key, self.engine.now()).await.map_err(status::of_store)? {
            tracing::info!(%kind, %key, "object deleted");
            return Ok(Response::new(Empty {}));
        }
        Err(Status::not_found(format!("there is no {kind} {key}")))
    }
}
