//! Plain HTTP requests to a registry, independent of the project's own client.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

const REQUEST_DEADLINE: Duration = Duration::from_secs(60);

/// A client that trusts one authority and logs in with one name.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    agent: Agent,
    base: String,
    authorization: Option<String>,
}

impl HttpClient {
    /// For the server at `base`, like `http://127.0.0.1:5000`.
    pub(crate) fn new(base: String, credentials: Option<(&str, &str)>, authority: Option<&str>) -> Result<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(REQUEST_DEADLINE));
        if let Some(authority) = authority {
            let certificate = Certificate::from_pem(authority.as_bytes()).context("failed to read the authority")?;
            let roots = RootCerts::new_with_certs(&[certificate]);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let authorization = credentials.map(|(user, password)| {
            let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            format!("Basic {token}")
        });
        Ok(Self { agent: Agent::new_with_config(config.build()), base, authorization })
    }

    /// Sends one request; `target` is a path or a whole URL of the same server.
    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response<Body>> {
        let url = if target.starts_with('/') { format!("{}{target}", self.base) } else { target.to_owned() };
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let doing = || format!("failed to {method} {url}");
        let response = if matches!(method, "GET" | "HEAD" | "DELETE") {
            self.agent.run(request.body(()).with_context(doing)?)
        } else {
            self.agent.run(request.body(body).with_context(doing)?)
        };
        response.with_context(doing)
    }
}
