//! Connections: straight or through a proxy, plain or TLS.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use http_body_util::Empty;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::host_of;
use super::proxy::{Proxies, Proxy};

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, ready for HTTP.
pub(super) struct Stream {
    io: TokioIo<Box<dyn Io>>,
    /// Requests go to the proxy itself and must name the full address.
    proxied: bool,
}

/// Makes connections for one endpoint.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) proxies: Arc<Proxies>,
    pub(super) timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{address} is no address that can be dialled")]
    Address { address: String },
    #[error("failed to connect to {address}")]
    Dial { address: String, source: io::Error },
    #[error("no connection to {address} within {timeout:?}")]
    Timeout { address: String, timeout: Duration },
    #[error("the TLS handshake with {address} failed")]
    Tls { address: String, source: io::Error },
    #[error("the proxy {proxy} answers HTTP {status} when asked for {address}")]
    ProxyStatus { proxy: String, address: String, status: u16 },
    #[error("the proxy {proxy} does not speak HTTP")]
    ProxyHttp { proxy: String, source: hyper::Error },
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<Stream, ConnectError> {
        let address = uri.authority().map_or_else(String::new, ToString::to_string);
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.connect_patiently(&uri, &address)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout { address, timeout }),
        }
    }

    async fn connect_patiently(&self, uri: &Uri, address: &str) -> Result<Stream, ConnectError> {
        let tls = uri.scheme_str() == Some("https");
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16().or(Some(if tls { 443 } else { 80 }))) else {
            return Err(ConnectError::Address { address: address.to_owned() });
        };
        let host = host_of(host);
        let Some(proxy) = self.proxies.for_uri(uri) else {
            let plain = dial(host, port).await?;
            let io = if tls { self.handshake(host, Box::new(plain), address).await? } else { Box::new(plain) };
            return Ok(Stream { io: TokioIo::new(io), proxied: false });
        };
        let mut io: Box<dyn Io> = Box::new(dial(&proxy.host, proxy.port).await?);
        if proxy.tls {
            io = self.handshake(&proxy.host, io, &proxy.host).await?;
        }
        if !tls {
            return Ok(Stream { io: TokioIo::new(io), proxied: true });
        }
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let io = tunnel(io, proxy, target).await?;
        let io = self.handshake(host, io, address).await?;
        Ok(Stream { io: TokioIo::new(io), proxied: false })
    }

    async fn handshake(&self, host: &str, io: Box<dyn Io>, address: &str) -> Result<Box<dyn Io>, ConnectError> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Address { address: address.to_owned() })?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, io).await;
        let tls = tls.map_err(|source| ConnectError::Tls { address: address.to_owned(), source })?;
        Ok(Box::new(tls))
    }
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let failed = |source| ConnectError::Dial { address: format!("{host}:{port}"), source };
    let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// Asks an HTTP proxy for a tunnel.
async fn tunnel(io: Box<dyn Io>, proxy: &Proxy, target: String) -> Result<Box<dyn Io>, ConnectError> {
    let name = format!("{}:{}", proxy.host, proxy.port);
    let failed = |source| ConnectError::ProxyHttp { proxy: name.clone(), source };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
    let mut request = http::Request::new(Empty::<bytes::Bytes>::new());
    *request.method_mut() = http::Method::CONNECT;
    *request.uri_mut() = target.parse().map_err(|_| ConnectError::Address { address: target.clone() })?;
    if let Ok(host) = HeaderValue::try_from(&target) {
        request.headers_mut().insert(http::header::HOST, host);
    }
    if let Some(authorization) = &proxy.authorization {
        request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, authorization.clone());
    }
    // The connection does its work while it is polled; it ends when the tunnel is handed over or refused.
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let answer = async { sender.send_request(request).await };
    let mut answer = std::pin::pin!(answer);
    let response = tokio::select! {
        biased;
        response = &mut answer => response.map_err(failed)?,
        ended = &mut connection => {
            ended.map_err(failed)?;
            answer.await.map_err(failed)?
        }
    };
    if !response.status().is_success() {
        let status = response.status().as_u16();
        return Err(ConnectError::ProxyStatus { proxy: name, address: target, status });
    }
    let mut upgrade = std::pin::pin!(hyper::upgrade::on(response));
    let upgraded = tokio::select! {
        biased;
        upgraded = &mut upgrade => upgraded.map_err(failed)?,
        ended = &mut connection => {
            ended.map_err(failed)?;
            upgrade.await.map_err(failed)?
        }
    };
    Ok(Box::new(TokioIo::new(upgraded)))
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxied)
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
