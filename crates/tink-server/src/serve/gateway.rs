//! What tink-server of 2021 had on its HTTP port: `/cert` for workers and the CLI, and the calls of its gRPC services as
//! `/v1/…`.
//!
//! Answers are those of its hand-written handlers: an object, text, or one object a line, each with a newline; 400 for what
//! cannot be read, 500 with the text of the gRPC status for everything that failed.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tink_proto::v2021::template::{GetRequest, WorkflowTemplate, get_request::GetBy};
use tink_proto::v2021::workflow::CreateRequest;
use tonic::Status;

use super::tls::Tls;
use crate::services::v2021::{Api, json as wire};

/// User name and password of the gateway. Without them it is open to everybody.
#[derive(Clone, Default)]
pub struct Login {
    /// Of these one may be empty.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Where the text of `/cert` comes from.
#[derive(Clone)]
pub enum Cert {
    /// What this server serves, as it is now.
    Served(Arc<Tls>),
    /// That of a proxy in front.
    Given(Arc<str>),
}

/// `/cert`.
pub fn cert(cert: Cert) -> Router {
    let answer = move || {
        let pem = match &cert {
            Cert::Served(tls) => tls.pem(),
            Cert::Given(pem) => Arc::clone(pem),
        };
        async move { ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], pem.to_string()) }
    };
    Router::new().route("/cert", get(answer))
}

/// `/v1/…`.
pub fn v1(api: Arc<Api>, login: Option<Login>, bytes_max: usize) -> Router {
    let router = Router::new()
        .route("/v1/hardware", post(push_hardware).get(all_hardware))
        .route("/v1/hardware/mac", post(hardware_by_mac))
        .route("/v1/hardware/ip", post(hardware_by_ip))
        .route("/v1/hardware/{id}", get(hardware_by_id).delete(delete_hardware))
        .route("/v1/templates", post(create_template).get(list_templates))
        .route("/v1/templates/name/{name}", get(template_by_name))
        .route("/v1/templates/{id}", get(template_by_id).delete(delete_template))
        .route("/v1/workflows", post(create_workflow).get(list_workflows))
        .route("/v1/workflows/{id}", get(workflow).delete(delete_workflow))
        .route("/v1/workflows/{id}/state", get(workflow_state))
        .route("/v1/workflows/{id}/events", get(workflow_events))
        .layer(DefaultBodyLimit::max(bytes_max))
        .with_state(api);
    match login {
        None => router,
        Some(login) => router.layer(middleware::from_fn_with_state(Arc::new(login), check_login)),
    }
}

async fn check_login(State(login): State<Arc<Login>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Basic ")).and_then(|code| STANDARD.decode(code).ok());
    let wanted = format!("{}:{}", login.username, login.password);
    if given.is_some_and(|given| same(&given, wanted.as_bytes())) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"Tink Realm\"")];
    (StatusCode::UNAUTHORIZED, challenge, "401 Unauthorized\n").into_response()
}

/// Compares in a time that does not tell where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// Why there is no answer.
type Failed = (StatusCode, String);
type Answer = Result<String, Failed>;

fn bad(why: impl std::fmt::Display) -> Failed {
    let text = format!("rpc error: code = InvalidArgument desc = {why}\n");
    (StatusCode::BAD_REQUEST, text)
}

fn failed(status: Status) -> Failed {
    // As Go prints a status.
    let text = format!("rpc error: code = {:?} desc = {}\n", status.code(), status.message());
    (StatusCode::INTERNAL_SERVER_ERROR, text)
}

fn body(bytes: &Bytes) -> Result<Value, Failed> {
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(bytes).map_err(bad)
}

fn field(of: &Value, key: &str) -> Result<String, Failed> {
    wire::text(of, key).map_err(bad)
}

fn done(what: &str, id: &str) -> String {
    format!("{{\"status\": \"ok\", \"msg\": \"{what} successfully\", \"id\": {}}}\n", json!(id))
}

fn lines(all: impl Iterator<Item = Value>) -> String {
    all.map(|value| format!("{value}\n")).collect()
}

async fn push_hardware(State(api): State<Arc<Api>>, bytes: Bytes) -> Answer {
    let hardware = wire::hardware_from(&body(&bytes)?).map_err(bad)?;
    if hardware.id.is_empty() {
        return Err(bad("invalid hardware data, must contain an id"));
    }
    let id = hardware.id.clone();
    api.push_hardware(Some(hardware)).await.map_err(failed)?;
    Ok(done("hardware data pushed", &id))
}

async fn hardware_by_mac(State(api): State<Arc<Api>>, bytes: Bytes) -> Answer {
    let mac = field(&body(&bytes)?, "mac")?;
    api.hardware_by_mac(&mac).await.map(|found| format!("{}\n", wire::hardware(&found))).map_err(failed)
}

async fn hardware_by_ip(State(api): State<Arc<Api>>, bytes: Bytes) -> Answer {
    let ip = field(&body(&bytes)?, "ip")?;
    api.hardware_by_ip(&ip).await.map(|found| format!("{}\n", wire::hardware(&found))).map_err(failed)
}

async fn hardware_by_id(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    api.hardware_by_id(&id).await.map(|found| format!("{}\n", wire::hardware(&found))).map_err(failed)
}

async fn all_hardware(State(api): State<Arc<Api>>) -> Answer {
    api.all_hardware().await.map(|all| lines(all.iter().map(wire::hardware))).map_err(failed)
}

async fn delete_hardware(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    api.delete_hardware(&id).await.map_err(failed)?;
    Ok(done("hardware deleted", &id))
}

async fn create_template(State(api): State<Arc<Api>>, bytes: Bytes) -> Answer {
    let sent = body(&bytes)?;
    let template =
        WorkflowTemplate { name: field(&sent, "name")?, data: field(&sent, "data")?, ..WorkflowTemplate::default() };
    let id = api.create_template(template).await.map_err(failed)?;
    Ok(done("template created", &id))
}

async fn template_by_id(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    template(&api, GetBy::Id(id)).await
}

async fn template_by_name(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer {
    template(&api, GetBy::Name(name)).await
}

async fn template(api: &Api, by: GetBy) -> Answer {
    let found = api.template(GetRequest { get_by: Some(by) }).await.map_err(failed)?;
    Ok(format!("{}\n", found.message.data))
}

async fn delete_template(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    api.delete_template(GetRequest { get_by: Some(GetBy::Id(id.clone())) }).await.map_err(failed)?;
    Ok(done("template deleted", &id))
}

async fn list_templates(State(api): State<Arc<Api>>, Query(query): Query<Vec<(String, String)>>) -> Answer {
    let name = query.iter().find(|(key, _)| key == "name").map(|(_, name)| name.as_str());
    api.templates(name).await.map(|all| lines(all.iter().map(wire::template))).map_err(failed)
}

async fn create_workflow(State(api): State<Arc<Api>>, bytes: Bytes) -> Answer {
    let sent = body(&bytes)?;
    let request = CreateRequest { template: field(&sent, "template")?, hardware: field(&sent, "hardware")? };
    let id = api.create_workflow(request).await.map_err(failed)?;
    Ok(done("workflow created", &id))
}

async fn workflow(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    api.workflow(&id).await.map(|found| format!("{}\n", found.data)).map_err(failed)
}

async fn list_workflows(State(api): State<Arc<Api>>) -> Answer {
    api.workflows().await.map(|all| lines(all.iter().map(wire::workflow))).map_err(failed)
}

async fn delete_workflow(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    api.delete_workflow(&id).await.map_err(failed)?;
    Ok(done("workflow deleted", &id))
}

async fn workflow_state(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    api.workflow_context(&id).await.map(|found| format!("{}\n", wire::context(&found))).map_err(failed)
}

async fn workflow_events(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    api.workflow_events(&id).await.map(|all| lines(all.iter().map(wire::status))).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_is_the_same() {
        assert!(same(b"", b"") && same(b"a:b", b"a:b"));
        assert!(!same(b"a:b", b"a:c") && !same(b"a:", b"a:b") && !same(b"a:b", b"a:"));
    }
}
