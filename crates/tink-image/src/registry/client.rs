//! One request to one endpoint: authentication, redirects, repetition, and errors that say what to do.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, HOST, HeaderName, LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::Registries;
use super::auth::Token;
use super::connect::{ConnectError, Connector};
use super::hosts::HostConfig;
use super::tls::Trust;
use crate::error::{Cause, ImageError};

pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

pub(super) const AGENT: &str = concat!("tink/", env!("CARGO_PKG_VERSION"));
pub(super) const REDIRECTS_MAX: usize = 10;
/// Most of an error's body that is shown.
const DETAIL_BYTES_MAX: usize = 300;

/// A registry or mirror that can be asked.
pub(crate) struct Endpoint {
    /// The registry of the references that lead here.
    pub(super) registry: String,
    scheme: &'static str,
    authority: String,
    path: String,
    pub(super) resolve: bool,
    pub(super) pull: bool,
    pub(super) push: bool,
    headers: HeaderMap,
    client: Client<Connector, Body>,
    /// Is a mirror: asked with the registry's name, authenticated by its own.
    mirror: bool,
    unverified: bool,
    /// The endpoint after this one is the plain way to it.
    has_plain_way: bool,
    /// The plain way to the endpoint before this one, for registries that may be asked so.
    pub(super) only_if_unreachable: bool,
    /// Did not answer while its plain way did.
    pub(super) down: AtomicBool,
    /// Has answered, or its plain way has said that it would: its plain way is not asked any more.
    pub(super) answers: AtomicBool,
}

impl Endpoint {
    /// Whose credentials are sent.
    pub(super) fn credential_host(&self) -> &str {
        if self.mirror { &self.authority } else { &self.registry }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.scheme == "http"
    }

    pub(super) fn is_mirror(&self) -> bool {
        self.mirror
    }

    pub(super) fn is_unverified(&self) -> bool {
        self.unverified
    }

    /// `https://host:port`, for messages.
    pub(crate) fn name(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The address of something in a repository.
    pub(super) fn url(&self, repository: &str, rest: &str) -> String {
        let namespace = if self.mirror { format!("?ns={}", query_escaped(&self.registry)) } else { String::new() };
        format!("{}://{}{}/{repository}/{rest}{namespace}", self.scheme, self.authority, self.path)
    }
}

/// Makes the endpoints of a registry out of its settings.
pub(super) fn endpoints(
    registries: &Registries,
    registry: &str,
    hosts: Vec<HostConfig>,
) -> Result<Vec<Endpoint>, ImageError> {
    let default_authority = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let mut endpoints = Vec::new();
    for host in hosts {
        let authority = host.authority.clone().unwrap_or_else(|| default_authority.to_owned());
        let mirror = authority != default_authority;
        let insecure = registries.inner.insecure.allows(&authority);
        // Whoever gives a CA wants it to count.
        let any_certificate = host.trust.ca_files.is_empty();
        let ways: &[(&'static str, bool)] = match (host.scheme, insecure) {
            (Some("http"), _) => &[("http", true)],
            // TLS first, without verification, then none, as Docker has it.
            (_, true) => &[("https", any_certificate), ("http", true)],
            (_, false) => &[("https", false)],
        };
        for (at, (scheme, lenient)) in ways.iter().enumerate() {
            let trust = Trust { skip_verify: host.trust.skip_verify || *lenient, ..host.trust.clone() };
            let connector = Connector {
                tls: registries.inner.roots.client_config(&trust)?,
                proxies: Arc::clone(&registries.inner.proxies),
                timeout: host.dial_timeout.unwrap_or(registries.config().timeouts.connect),
            };
            let client = Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .http1_max_buf_size(128 * 1024)
                .build(connector);
            endpoints.push(Endpoint {
                registry: registry.to_owned(),
                scheme,
                authority: authority.clone(),
                path: host.path.clone(),
                resolve: host.resolve,
                pull: host.pull,
                push: host.push,
                headers: headers(&host)?,
                client,
                mirror,
                unverified: trust.skip_verify,
                has_plain_way: at + 1 < ways.len(),
                only_if_unreachable: at > 0,
                down: AtomicBool::new(false),
                answers: AtomicBool::new(false),
            });
        }
    }
    Ok(endpoints)
}

fn headers(host: &HostConfig) -> Result<HeaderMap, ImageError> {
    let mut map = HeaderMap::new();
    for (name, value) in &host.headers {
        let refused = || ImageError::Settings {
            setting: format!("the header {name:?} in hosts.toml"),
            detail: "it cannot be sent".to_owned(),
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| refused())?;
        value.set_sensitive(true);
        map.append(HeaderName::try_from(name).map_err(|_| refused())?, value);
    }
    Ok(map)
}

/// A request that can be made again.
pub(super) struct Call {
    pub(super) what: String,
    method: Method,
    url: String,
    headers: HeaderMap,
    scope: String,
    authorization: Authorization,
    payload: Option<Box<dyn Fn() -> Body + Send + Sync>>,
}

enum Authorization {
    /// Whatever the endpoint asks for.
    Asked,
    /// This or nothing, and a 401 is final.
    Fixed(Option<HeaderValue>),
}

impl Call {
    pub(super) fn new(method: Method, what: impl Into<String>, url: String) -> Self {
        Self {
            what: what.into(),
            method,
            url,
            headers: HeaderMap::new(),
            scope: String::new(),
            authorization: Authorization::Asked,
            payload: None,
        }
    }

    pub(super) fn get(what: impl Into<String>, url: String) -> Self {
        Self::new(Method::GET, what, url)
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn scope(mut self, repository: &str, actions: &str) -> Self {
        self.scope = format!("repository:{repository}:{actions}");
        self
    }

    pub(super) fn without_auth(mut self, fixed: Option<HeaderValue>) -> Self {
        self.authorization = Authorization::Fixed(fixed);
        self
    }

    pub(super) fn payload(mut self, make: impl Fn() -> Body + Send + Sync + 'static) -> Self {
        self.payload = Some(Box::new(make));
        self
    }
}

pub(super) fn no_body() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

impl Registries {
    /// Makes a request until it has an answer below 400, repeating what may help.
    pub(super) async fn send(&self, endpoint: &Endpoint, call: &Call) -> Result<Response<Incoming>, ImageError> {
        let retry = self.config().retry;
        let mut failed = 0;
        loop {
            let (error, wait) = match Box::pin(self.send_once(endpoint, call)).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            failed += 1;
            // A second way stands ready where TLS was only tried; and nobody else takes the name of a host.
            if failed >= self.attempts() || !error.retryable() || self.has_another_way(endpoint, &error) {
                return Err(error);
            }
            tracing::debug!(error = %error.chain(), failed, "asking the registry again");
            tokio::time::sleep(wait.unwrap_or_else(|| retry.pause(failed))).await;
        }
    }

    fn has_another_way(&self, endpoint: &Endpoint, error: &ImageError) -> bool {
        endpoint.has_plain_way
            && !endpoint.answers.load(Ordering::Relaxed)
            && matches!(error, ImageError::Unreachable { .. })
    }

    /// One try, with authentication and redirects; with an error comes the pause that the server asks for.
    async fn send_once(
        &self,
        endpoint: &Endpoint,
        call: &Call,
    ) -> Result<Response<Incoming>, (ImageError, Option<std::time::Duration>)> {
        let mut asked = false;
        let mut token = match &call.authorization {
            Authorization::Fixed(header) => header.clone(),
            Authorization::Asked => self.known_token(endpoint, &call.scope),
        };
        loop {
            let response = self.follow(endpoint, call, token.as_ref()).await.map_err(|error| (error, None))?;
            endpoint.answers.store(true, Ordering::Relaxed);
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && !asked && matches!(call.authorization, Authorization::Asked) {
                asked = true;
                let challenges: Vec<HeaderValue> =
                    response.headers().get_all(WWW_AUTHENTICATE).iter().cloned().collect();
                let answer = self.answer_challenge(endpoint, &challenges, &call.scope).await;
                if let Some(answer) = answer.map_err(|error| (error, None))? {
                    token = Some(answer.header.clone());
                    self.keep_token(endpoint, &call.scope, answer);
                    continue;
                }
            }
            if status.is_success() {
                return Ok(response);
            }
            let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let wait = wait.map(|seconds: u64| std::time::Duration::from_secs(seconds.min(60)));
            return Err((self.refusal(endpoint, call, response).await, wait));
        }
    }

    fn known_token(&self, endpoint: &Endpoint, scope: &str) -> Option<HeaderValue> {
        let tokens = self.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(&(endpoint.name(), scope.to_owned()))?;
        token.is_fresh().then(|| token.header.clone())
    }

    fn keep_token(&self, endpoint: &Endpoint, scope: &str, token: Token) {
        let mut tokens = self.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| token.is_fresh());
        tokens.insert((endpoint.name(), scope.to_owned()), token);
    }

    /// One request and the redirects it leads to. Credentials and configured headers stay with the first host.
    async fn follow(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        token: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, ImageError> {
        let broken = |detail: String| ImageError::Protocol {
            registry: endpoint.registry.clone(),
            endpoint: endpoint.name(),
            what: call.what.clone(),
            detail,
        };
        let mut uri: Uri = call.url.parse().map_err(|_| broken(format!("{:?} is no address", cut(&call.url))))?;
        let first = (uri.scheme_str().map(str::to_owned), uri.authority().map(ToString::to_string));
        for _ in 0..=REDIRECTS_MAX {
            let same_host = (uri.scheme_str().map(str::to_owned), uri.authority().map(ToString::to_string)) == first;
            let mut request = Request::new(call.payload.as_ref().map_or_else(no_body, |make| make()));
            *request.method_mut() = call.method.clone();
            *request.uri_mut() = uri.clone();
            request.headers_mut().extend(call.headers.clone());
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
            if same_host {
                if uri.authority().is_some_and(|authority| authority.as_str() == endpoint.authority) {
                    request.headers_mut().extend(endpoint.headers.clone());
                }
                if let Some(token) = token {
                    request.headers_mut().insert(AUTHORIZATION, token.clone());
                }
            }
            self.add_proxy_authorization(&uri, request.headers_mut());
            let answer = tokio::time::timeout(self.config().timeouts.answer, endpoint.client.request(request)).await;
            let response = match answer {
                Err(_) => return Err(self.silent(endpoint, &call.what)),
                Ok(Err(error)) => return Err(unreachable(endpoint, &call.what, Box::new(error))),
                Ok(Ok(response)) => response,
            };
            let redirected = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !redirected || !matches!(call.method, Method::GET | Method::HEAD) {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let next = resolve(&uri, location).ok_or_else(|| broken(format!("it redirects to {:?}", cut(location))))?;
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") && !endpoint.unverified {
                return Err(broken("it redirects from https to http".to_owned()));
            }
            uri = next;
        }
        Err(broken(format!("it redirects more than {REDIRECTS_MAX} times")))
    }

    /// A tunnel carries its own authorisation; plain requests carry the proxy's with them.
    fn add_proxy_authorization(&self, uri: &Uri, headers: &mut HeaderMap) {
        headers.remove(HOST);
        if let Some(authorization) = self.inner.proxies.authorization_in_request(uri) {
            headers.insert(PROXY_AUTHORIZATION, authorization);
        }
    }

    /// An answer of 400 and above, told as an error.
    async fn refusal(&self, endpoint: &Endpoint, call: &Call, response: Response<Incoming>) -> ImageError {
        let (registry, name, what) = (endpoint.registry.clone(), endpoint.name(), call.what.clone());
        match response.status().as_u16() {
            status @ (401 | 403) => {
                let with_credentials = self.config().credential(endpoint.credential_host()).is_some();
                ImageError::Denied { registry, endpoint: name, what, status, with_credentials }
            }
            404 => ImageError::NotFound { registry, endpoint: name, what },
            status => {
                let body = tokio::time::timeout(self.config().timeouts.silence, first_piece(response)).await;
                let detail = body.ok().flatten().map(|text| format!(": {text}")).unwrap_or_default();
                ImageError::Status { registry, endpoint: name, what, status, detail }
            }
        }
    }

    /// A whole body of at most `bytes_max`.
    pub(super) async fn read_all(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        response: Response<Incoming>,
        bytes_max: u64,
    ) -> Result<Bytes, ImageError> {
        let mut body = response.into_body();
        let mut all = Vec::new();
        loop {
            let frame = match tokio::time::timeout(self.config().timeouts.silence, body.frame()).await {
                Err(_) => return Err(self.silent(endpoint, &call.what)),
                Ok(None) => return Ok(all.into()),
                Ok(Some(Err(error))) => return Err(unreachable(endpoint, &call.what, Box::new(error))),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Some(data) = frame.data_ref() {
                if (all.len() + data.len()) as u64 > bytes_max {
                    return Err(ImageError::TooLarge { what: "an answer", origin: endpoint.name(), bytes_max });
                }
                all.extend_from_slice(data);
            }
        }
    }

    pub(super) fn silent(&self, endpoint: &Endpoint, what: &str) -> ImageError {
        unreachable(endpoint, what, "it does not answer in time".into())
    }
}

async fn first_piece(response: Response<Incoming>) -> Option<String> {
    let data = response.into_body().frame().await?.ok()?.into_data().ok()?;
    let text = String::from_utf8_lossy(&data[..data.len().min(DETAIL_BYTES_MAX)]);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Sorts a failed connection: a clock that is behind, a certificate, or the network.
pub(super) fn unreachable(endpoint: &Endpoint, what: &str, source: Cause) -> ImageError {
    let (registry, name) = (endpoint.registry.clone(), endpoint.name());
    match certificate_error(source.as_ref()) {
        Some(rustls::CertificateError::NotValidYet | rustls::CertificateError::NotValidYetContext { .. }) => {
            ImageError::ClockBehind { registry, endpoint: name, source }
        }
        Some(_) => ImageError::Certificate { registry, endpoint: name, source },
        None => ImageError::Unreachable { registry, endpoint: name, what: what.to_owned(), source },
    }
}

fn certificate_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::CertificateError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(cause)) = error.downcast_ref() {
            return Some(cause);
        }
        // An io::Error hides what it carries from `source`.
        let carried = match error.downcast_ref::<ConnectError>() {
            Some(ConnectError::Tls { source, .. }) => source.get_ref(),
            _ => error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref),
        };
        if let Some(rustls::Error::InvalidCertificate(cause)) = carried.and_then(|carried| carried.downcast_ref()) {
            return Some(cause);
        }
        next = error.source();
    }
    None
}

/// A `Location`, absolute or relative to where it came from.
pub(super) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    if location.contains("://") {
        let uri: Uri = location.parse().ok()?;
        return matches!(uri.scheme_str(), Some("http" | "https")).then_some(uri);
    }
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}").parse().ok();
    }
    if location.is_empty() {
        return None;
    }
    let folder = &base.path()[..=base.path().rfind('/')?];
    format!("{scheme}://{authority}{folder}{location}").parse().ok()
}

/// A query value; what registries put into scopes stays readable.
pub(super) fn query_escaped(value: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_against_where_they_came_from() {
        let base: Uri = "https://r.example:5000/v2/a/blobs/uploads/".parse().unwrap();
        let to = |location| resolve(&base, location).map(|uri| uri.to_string());
        assert_eq!(to("/x?y=1").unwrap(), "https://r.example:5000/x?y=1");
        assert_eq!(to("http://cdn.example/z").unwrap(), "http://cdn.example/z");
        assert_eq!(to("//cdn.example/z").unwrap(), "https://cdn.example/z");
        assert_eq!(to("next").unwrap(), "https://r.example:5000/v2/a/blobs/uploads/next");
        assert_eq!(to("ftp://x/"), None);
        assert_eq!(to(""), None);
    }

    #[test]
    fn scopes_are_escaped_for_a_query() {
        assert_eq!(query_escaped("repository:a/b:pull,push"), "repository:a/b:pull,push");
        assert_eq!(query_escaped("a b&c=d"), "a%20b%26c%3Dd");
    }
}
