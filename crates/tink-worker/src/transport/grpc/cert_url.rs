//! The server's certificate, fetched from where a boot server of 2021 says.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::timeout;

use super::connect::{self, Stream};
use super::{Proxy, Target};

/// Less than a connection to the server may take, which waits for it.
const FETCH_TIME_MAX: Duration = Duration::from_secs(8);
const BODY_BYTES_MAX: usize = 1024 * 1024;
const REDIRECTS_MAX: usize = 5;

/// An http or https URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertUrl {
    tls: bool,
    target: Target,
    path: String,
}

impl CertUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.trim().parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("it begins with neither http:// nor https://".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("a user name cannot stand in it".to_owned());
        }
        let port = match authority.port() {
            Some(port) => port.to_string(),
            None => if tls { "443" } else { "80" }.to_owned(),
        };
        let target = Target::parse(&format!("{}:{port}", authority.host())).map_err(|error| error.to_string())?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, target, path })
    }

    /// Where a redirect leads.
    fn redirected(&self, location: &str) -> Result<Self, String> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok(Self { path: location.to_owned(), ..self.clone() });
        }
        Self::parse(location)
    }
}

impl fmt::Display for CertUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.target, self.path)
    }
}

/// Fetches the certificates behind a URL.
///
/// # Errors
/// In words: what was asked, what came, and what to look at.
pub(super) async fn fetch(
    url: &CertUrl,
    proxy: &Proxy,
    tls: &Arc<ClientConfig>,
) -> io::Result<Vec<CertificateDer<'static>>> {
    let failed = |reason: String| io::Error::other(format!("fetch the server's certificate from {url}: {reason}"));
    match timeout(FETCH_TIME_MAX, body(url, proxy, tls)).await {
        Ok(Ok(body)) => certificates(&body).map_err(failed),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(_) => Err(failed(format!("no answer within {} s", FETCH_TIME_MAX.as_secs()))),
    }
}

fn certificates(body: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(body).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => {
            let begins: String = String::from_utf8_lossy(body).chars().take(40).collect();
            Err(format!("the answer is no certificate in PEM; it begins with {begins:?}"))
        }
        Err(error) => Err(format!("the answer is no certificate in PEM: {error}")),
    }
}

async fn body(url: &CertUrl, proxy: &Proxy, tls: &Arc<ClientConfig>) -> Result<Bytes, String> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS_MAX {
        let response = get(&url, proxy, tls).await?;
        let status = response.status();
        if status == StatusCode::OK {
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
            return body.map(|body| body.to_bytes()).map_err(|error| error.to_string());
        }
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        match location {
            Some(location) if status.is_redirection() => url = url.redirected(location)?,
            _ => return Err(format!("the answer is HTTP {status}")),
        }
    }
    Err(format!("more than {REDIRECTS_MAX} redirects"))
}

async fn get(url: &CertUrl, proxy: &Proxy, tls: &Arc<ClientConfig>) -> Result<Response<Incoming>, String> {
    let words = |error: io::Error| error.to_string();
    let mut request = Request::get(&url.path)
        .header(HOST, url.target.authority())
        .header(USER_AGENT, concat!("tink-worker/", env!("CARGO_PKG_VERSION")));
    let stream: Box<dyn Stream> = if url.tls {
        let tcp = match proxy.for_target(&url.target) {
            Some(proxy) => connect::through(proxy, &url.target).await.map_err(words)?,
            None => connect::dial(&url.target).await.map_err(words)?,
        };
        Box::new(connect::handshake(&url.target, tcp, Arc::clone(tls)).await.map_err(words)?)
    } else if let Some(proxy) = proxy.for_plain_target(&url.target) {
        request = request.uri(url.to_string());
        if let Some(authorization) = &proxy.authorization {
            request = request.header(PROXY_AUTHORIZATION, authorization.expose());
        }
        Box::new(connect::dial(&proxy.target).await.map_err(words)?)
    } else {
        Box::new(connect::dial(&url.target).await.map_err(words)?)
    };
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends with the last of sender and body.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

#[cfg(test)]
mod tests;
