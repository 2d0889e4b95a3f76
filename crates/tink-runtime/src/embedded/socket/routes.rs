//! Which call does what.
//!
//! | call | answer |
//! |---|---|
//! | `GET`, `HEAD /_ping`; `GET /version` | the API's version |
//! | `GET /images/{name}/json` | whether the image is here |
//! | `POST /images/create?fromImage=&tag=` | pulls it; a failure is the call's status, not a line of its body |
//! | `GET /containers/{id}/json` | a container of this machine; the host's name stands for the one that asks |
//! | `POST /containers/create` | a detached container; everything is privileged here |
//! | `POST /containers/{id}/start` | starts it |

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tink_oci::Status;
use tink_workflow::ImageRef;

use super::answer::{API_VERSION, Answer, nothing, refused, with};
use super::create::CreateRequest;
use super::serve::Engine;
use crate::embedded::detached::DetachError;
use crate::embedded::find::Owner;
use crate::{ContainerSpec, Progress, RuntimeError};

/// A request's body: a container's settings.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A registry that is away for a moment.
const PULL_PAUSES_S: [u64; 4] = [1, 2, 4, 8];

pub(super) async fn answer(engine: &Engine, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let path = unversioned(head.uri.path()).to_owned();
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    match (&head.method, words.as_slice()) {
        (&Method::HEAD, ["_ping"]) => nothing(StatusCode::OK),
        (&Method::GET, ["_ping"]) => with(StatusCode::OK, &json!("OK")),
        (&Method::GET, ["version"]) => {
            with(StatusCode::OK, &json!({"ApiVersion": API_VERSION, "MinAPIVersion": "1.24", "Os": "linux"}))
        }
        (&Method::GET, ["images", name @ .., "json"]) => image(engine, &name.join("/")).await,
        (&Method::POST, ["images", "create"]) => pull(engine, head.uri.query().unwrap_or_default()).await,
        (&Method::GET, ["containers", id, "json"]) => inspect(engine, id),
        (&Method::POST, ["containers", "create"]) => match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => create(engine, &body.to_bytes()).await,
            Err(error) => refused(StatusCode::BAD_REQUEST, format!("the request cannot be read: {error}")),
        },
        (&Method::POST, ["containers", id, "start"]) => start(engine, id).await,
        _ => refused(
            StatusCode::NOT_IMPLEMENTED,
            format!("{} {path} is not served by Tinkerbell's embedded runtime, which has no engine", head.method),
        ),
    }
}

/// Clients put `/v1.41` before the path.
fn unversioned(path: &str) -> &str {
    let versioned = path.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
    match versioned {
        Some((version, rest)) if version.bytes().all(|b| b.is_ascii_digit() || b == b'.') => rest,
        _ => path,
    }
}

async fn image(engine: &Engine, name: &str) -> Answer {
    let image = match reference(name) {
        Ok(image) => image,
        Err(answer) => return *answer,
    };
    match engine.hold(image.clone()).await {
        Ok(Some(id)) => with(StatusCode::OK, &json!({"Id": id, "RepoTags": [image.familiar()]})),
        Ok(None) => refused(StatusCode::NOT_FOUND, format!("No such image: {}", image.familiar())),
        Err(reason) => refused(StatusCode::INTERNAL_SERVER_ERROR, reason),
    }
}

fn reference(name: &str) -> Result<ImageRef, Box<Answer>> {
    ImageRef::parse(name)
        .map_err(|error| Box::new(refused(StatusCode::BAD_REQUEST, format!("{name:?} is no image reference: {error}"))))
}

async fn pull(engine: &Engine, query: &str) -> Answer {
    let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).map(decoded);
    let (name, tag) = (value("fromImage").unwrap_or_default(), value("tag").unwrap_or_default());
    let separator = if tag.contains(':') { "@" } else { ":" };
    let name = if tag.is_empty() { name } else { format!("{name}{separator}{tag}") };
    let image = match reference(&name) {
        Ok(image) => image,
        Err(answer) => return *answer,
    };
    let mut pauses = PULL_PAUSES_S.into_iter().map(Duration::from_secs);
    let error = loop {
        match engine.runtime.pull_image(&image, &Progress::new()).await {
            Ok(_) => break None,
            Err(error) if !error.is_retryable() => break Some(error),
            Err(error) => match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break Some(error),
            },
        }
    };
    match (error, engine.hold(image.clone()).await) {
        (None, Ok(Some(_))) => with(StatusCode::OK, &json!({"status": format!("Pulled {}", image.familiar())})),
        (None, Ok(None)) => refused(StatusCode::INTERNAL_SERVER_ERROR, "the image was dropped after the pull"),
        (None, Err(reason)) => refused(StatusCode::INTERNAL_SERVER_ERROR, reason),
        (Some(error), _) if error.is_retryable() => refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        (Some(error), _) => refused(StatusCode::NOT_FOUND, error.to_string()),
    }
}

/// `%2F` and its like. What is not UTF-8 is no image's name and is refused as one.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let code = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The container that a client means: its id, or the name of the host it sees, which under Docker is its own id.
fn meant(engine: &Engine, id: &str) -> Option<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if id == host {
        return Some(engine.container.clone());
    }
    let id = id.trim_start_matches('/');
    let is_one = std::path::Path::new(id).file_name().is_some_and(|name| *name == *id);
    (is_one && engine.runtime.dir(id).is_dir()).then(|| id.to_owned())
}

fn inspect(engine: &Engine, id: &str) -> Answer {
    let found = meant(engine, id).and_then(|id| {
        let dir = engine.runtime.dir(&id);
        Some((Owner::read(&dir)?.container?, tink_oci::status(&dir).unwrap_or(Status::Gone), id))
    });
    match found {
        Some((container, status, id)) => with(StatusCode::OK, &inspected(&container, &status, &id)),
        None => refused(StatusCode::NOT_FOUND, format!("No such container: {id}")),
    }
}

fn inspected(container: &ContainerSpec, status: &Status, id: &str) -> Value {
    let (word, code, finished) = match status {
        Status::Starting => ("created", 0, None),
        Status::Running(_) => ("running", 0, None),
        Status::Exited(exit) => ("exited", exit.code(), Some(exit.finished_at.to_string())),
        Status::Gone => ("dead", 0, None),
    };
    json!({
        "Id": id,
        "Name": format!("/{id}"),
        "Image": container.image.to_string(),
        "State": {"Status": word, "Running": word == "running", "ExitCode": code, "FinishedAt": finished},
        "Config": {
            "Image": container.image.to_string(),
            "Cmd": container.command,
            "Env": container.environment,
            "Tty": container.tty,
            "AttachStdout": true,
            "AttachStderr": true,
        },
        "HostConfig": {
            "Privileged": true,
            "Binds": container.volumes,
            "PidMode": container.pid,
            "NetworkMode": container.network,
        },
        "Mounts": [],
    })
}

async fn create(engine: &Engine, body: &[u8]) -> Answer {
    let request: CreateRequest = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return refused(StatusCode::BAD_REQUEST, format!("the container cannot be read: {error}")),
    };
    let Some(parent) = Owner::read(&engine.runtime.dir(&engine.container)) else {
        return refused(StatusCode::CONFLICT, "the container that asks is gone");
    };
    let spec = match request.into_spec(&parent.identity) {
        Ok(spec) => spec,
        Err(reason) => return refused(StatusCode::BAD_REQUEST, reason),
    };
    match engine.hold(spec.image.clone()).await {
        Ok(Some(_)) => {}
        Ok(None) => return refused(StatusCode::NOT_FOUND, format!("No such image: {}", spec.image.familiar())),
        Err(reason) => return refused(StatusCode::INTERNAL_SERVER_ERROR, reason),
    }
    match engine.runtime.create_detached(spec).await {
        Ok(id) => with(StatusCode::CREATED, &json!({"Id": id, "Warnings": []})),
        Err(error @ DetachError::TooMany { .. }) => refused(StatusCode::CONFLICT, error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn start(engine: &Engine, id: &str) -> Answer {
    let Some(id) = meant(engine, id) else {
        return refused(StatusCode::NOT_FOUND, format!("No such container: {id}"));
    };
    match engine.runtime.start_detached(&id, engine.held()).await {
        Ok(true) => nothing(StatusCode::NO_CONTENT),
        Ok(false) => nothing(StatusCode::NOT_MODIFIED),
        Err(error @ RuntimeError::Permanent { .. }) => refused(StatusCode::BAD_REQUEST, error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_with_and_without_a_version() {
        assert_eq!(unversioned("/v1.41/images/x/json"), "images/x/json");
        assert_eq!(unversioned("/version"), "/version");
        assert_eq!(unversioned("/vx/images"), "/vx/images");
    }

    #[test]
    fn queries_are_decoded_and_never_panic() {
        assert_eq!(decoded("127.0.0.1%3A5000%2Fa"), "127.0.0.1:5000/a");
        assert_eq!(decoded("%"), "%");
        assert_eq!(decoded("%zz%4"), "%zz%4");
        assert_eq!(decoded("%+1"), "% 1");
    }
}
