//! Plain downloads from any web server, by the connections, proxies and CA roots that registries are reached by.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::client::{AGENT, REDIRECTS_MAX, resolve};
use super::config::Timeouts;
use super::connect::Connector;
use super::proxy::{self, Proxies, ProxyConfig};
use super::tls::{Roots, Trust};
use crate::error::{Cause, ImageError};

/// Why a download did not begin, or broke. Shows no more of an address than its host: the rest may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The URL cannot be asked for.
    #[error("it is no address such as http://server.example/file")]
    Address,
    /// No connection, or it broke.
    #[error("cannot get it from {server}")]
    Broken {
        /// Which server.
        server: String,
        /// What happened.
        source: Cause,
    },
    /// A server that says nothing for too long is taken for gone.
    #[error("{server} sends nothing any more")]
    Silent {
        /// Which server.
        server: String,
    },
    /// Redirects that lead nowhere.
    #[error("{server} redirects to no address, or too often")]
    Redirects {
        /// Which server.
        server: String,
    },
}

/// Gets files from web servers.
#[derive(Clone)]
pub struct WebClient {
    client: Client<Connector, Empty<Bytes>>,
    proxies: Arc<Proxies>,
    timeouts: Timeouts,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct WebAnswer {
    /// The status; no redirect.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    server: String,
    silence: std::time::Duration,
}

impl WebClient {
    /// Takes the settings; nothing is dialled.
    ///
    /// # Errors
    /// [`ImageError::Settings`] for a proxy address that cannot be used.
    pub fn new(proxy: &ProxyConfig, timeouts: Timeouts) -> Result<Self, ImageError> {
        let proxies = Arc::new(Proxies::parse(proxy)?);
        let tls = Roots::load(&[])?.client_config(&Trust::default())?;
        let connector = Connector { tls, proxies: Arc::clone(&proxies), timeout: timeouts.connect };
        // A connection kept for later could be a dead one by then.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self { client, proxies, timeouts })
    }

    /// Asks for a URL, with `headers`, and follows redirects. User name and password in the URL go to its host alone.
    ///
    /// # Errors
    /// [`WebError`]; a status of 400 and above is none.
    pub async fn get(&self, url: &str, headers: &HeaderMap) -> Result<WebAnswer, WebError> {
        let mut uri: Uri = url.parse().map_err(|_| WebError::Address)?;
        for _ in 0..=REDIRECTS_MAX {
            let (target, authorization) = without_user(&uri).ok_or(WebError::Address)?;
            let server = target.authority().map_or_else(String::new, ToString::to_string);
            let mut request = Request::new(Empty::new());
            request.headers_mut().extend(headers.clone());
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
            if let Some(authorization) = authorization {
                request.headers_mut().insert(AUTHORIZATION, authorization);
            }
            if let Some(authorization) = self.proxies.authorization_in_request(&target) {
                request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
            }
            *request.uri_mut() = target;
            let answer = tokio::time::timeout(self.timeouts.answer, self.client.request(request)).await;
            let response = match answer {
                Err(_) => return Err(WebError::Silent { server }),
                Ok(Err(error)) => return Err(WebError::Broken { server, source: Box::new(error) }),
                Ok(Ok(response)) => response,
            };
            let (head, body) = response.into_parts();
            if !matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                let (status, headers, silence) = (head.status, head.headers, self.timeouts.silence);
                return Ok(WebAnswer { status, headers, body, server, silence });
            }
            let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            uri = resolve(&uri, location).ok_or(WebError::Redirects { server })?;
        }
        let server = uri.host().unwrap_or_default().to_owned();
        Err(WebError::Redirects { server })
    }
}

impl WebAnswer {
    /// The next bytes of the body, or `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks, the body ends before its announced length, or nothing comes for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WebError> {
        loop {
            let server = || self.server.clone();
            match tokio::time::timeout(self.silence, self.body.frame()).await {
                Err(_) => return Err(WebError::Silent { server: server() }),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(WebError::Broken { server: server(), source: Box::new(error) }),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    // Trailers, which nobody asked for.
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }
}

/// The address without user name and password, and these as a header.
fn without_user(uri: &Uri) -> Option<(Uri, Option<HeaderValue>)> {
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let Some((user, host)) = authority.rsplit_once('@') else { return Some((uri.clone(), None)) };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some((format!("{scheme}://{host}{path}").parse().ok()?, proxy::basic(user)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_in_an_address_becomes_a_header() {
        let uri = "http://me:p%40ss@server.example:8080/a?b=c".parse().unwrap();
        let (target, header) = without_user(&uri).unwrap();
        assert_eq!(target.to_string(), "http://server.example:8080/a?b=c");
        assert_eq!(header.unwrap(), "Basic bWU6cEBzcw==");
        assert!(without_user(&"http://server.example/a".parse().unwrap()).unwrap().1.is_none());
        assert!(without_user(&"ftp://server.example/a".parse().unwrap()).is_none());
    }
}
