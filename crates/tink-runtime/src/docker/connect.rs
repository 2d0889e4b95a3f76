//! Reaching the daemon.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use http::HeaderValue;
use tokio::sync::{Mutex, OnceCell};

use super::DockerRuntime;
use super::call::{Failure, call};
use crate::{Operation, RegistryCredentials, RuntimeError};

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The library's own limit on the time to the first byte of an answer. Each call has a shorter one of ours; this one
/// only has to be longer than the longest of those.
const LIBRARY_LIMIT_SECONDS: u64 = 3600;

const REGISTRY_AUTH: &str = "X-Registry-Auth";

impl DockerRuntime {
    /// Connects to the daemon at `socket` and agrees on a version of its API.
    ///
    /// Credentials are sent to exactly the registry they name, see [`RegistryCredentials::are_for`].
    ///
    /// # Errors
    /// Transient when no daemon answers there within ten seconds.
    pub async fn connect(socket: &Path, credentials: Vec<RegistryCredentials>) -> Result<Self, RuntimeError> {
        let subject = || format!("at {}", socket.display());
        let fail = |failure: Failure| {
            let hint = "is dockerd running, and is this its socket?";
            RuntimeError::transient(Operation::Connect, subject(), format!("{}; {hint}", failure.message))
        };
        let Some(path) = socket.to_str() else {
            return Err(RuntimeError::permanent(Operation::Connect, subject(), "the path is not valid UTF-8"));
        };
        let client = Docker::connect_with_unix(path, LIBRARY_LIMIT_SECONDS, API_DEFAULT_VERSION)
            .map_err(|error| fail(error.into()))?
            .with_request_modifier(url_safe_auth);
        let client = call(CONNECT_DEADLINE, client.negotiate_version()).await.map_err(fail)?;
        Ok(Self {
            client,
            socket: socket.to_owned(),
            credentials,
            attached: Mutex::new(HashMap::new()),
            log_bound: OnceCell::new(),
        })
    }
}

/// dockerd reads the header as URL-safe base64 and silently takes what it cannot read for "no credentials". The library
/// writes the standard alphabet: a password whose encoding has a `+` or `/` would never arrive.
fn url_safe_auth(mut request: BollardRequest) -> BollardRequest {
    if let Some(value) = request.headers().get(REGISTRY_AUTH).and_then(|value| value.to_str().ok()) {
        let url_safe = value.replace('+', "-").replace('/', "_");
        if let Ok(mut value) = HeaderValue::from_str(&url_safe) {
            value.set_sensitive(true);
            request.headers_mut().insert(REGISTRY_AUTH, value);
        }
    }
    request
}
