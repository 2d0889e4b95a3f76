//! A channel to a server: lazy, with deadlines at every step and keepalive below and inside HTTP/2.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tink_workflow::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::proxy::ProxyAddress;
use super::{GrpcSettings, Target, TargetError, tls};
use crate::{Clock, SystemClock};

/// Why no channel can be made: bad settings. What the network does is no error here; a channel connects when needed.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// The server's address.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The address makes no URI.
    #[error("server address {server} cannot be used")]
    Uri {
        /// The address.
        server: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be set up.
    #[error("failed to set up TLS")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
    /// The CA file.
    #[error("failed to read certificate authorities from {path}: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// HTTP/2 pings while a call is under way. Go servers close connections that ping more often than every 5 minutes
/// three times without data between, so there is at most one in the 60 s that upstream's server holds a call.
const PING_INTERVAL: Duration = Duration::from_secs(50);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// TCP keepalive needs no server's leave and finds a dead peer in 10 + 3 × 10 s.
const TCP_KEEPALIVE: Duration = Duration::from_secs(10);
const TCP_KEEPALIVE_PROBES: u32 = 3;

/// A channel, where it leads, and how often it was connected.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) channel: Channel,
    pub(super) target: Target,
    connected: Arc<AtomicU64>,
}

impl Connection {
    pub(super) fn new(settings: &GrpcSettings) -> Result<Self, GrpcError> {
        let target = Target::parse(&settings.server)?;
        let bad_uri =
            |source: Box<dyn std::error::Error + Send + Sync>| GrpcError::Uri { server: target.to_string(), source };
        let endpoint = Endpoint::from_shared(format!("http://{target}")).map_err(|error| bad_uri(error.into()))?;
        let tls = if settings.uses_tls() { Some(tls::Source::new(settings)?) } else { None };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let origin: Uri =
            format!("{scheme}://{target}").parse().map_err(|error: http::uri::InvalidUri| bad_uri(error.into()))?;
        let endpoint = endpoint
            .origin(origin)
            .connect_timeout(settings.connect_timeout)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(false)
            .user_agent(concat!("tink-worker/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| bad_uri(error.into()))?;
        let connected = Arc::new(AtomicU64::new(0));
        let connector = Connector(Arc::new(Dialer {
            proxy: settings.proxy.for_target(&target).cloned(),
            target: target.clone(),
            tls,
            timeout: settings.connect_timeout,
            connected: Arc::clone(&connected),
        }));
        Ok(Self { channel: endpoint.connect_with_connector_lazy(connector), target, connected })
    }

    /// How often a connection was made.
    pub(super) fn count(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Dialer {
    target: Target,
    proxy: Option<ProxyAddress>,
    tls: Option<tls::Source>,
    timeout: Duration,
    connected: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Connector(Arc<Dialer>);

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let dialer = Arc::clone(&self.0);
        Box::pin(async move {
            let limit = dialer.timeout;
            match timeout(limit, dialer.open()).await {
                Ok(stream) => stream.map(|stream| {
                    dialer.connected.fetch_add(1, Ordering::Relaxed);
                    TokioIo::new(stream)
                }),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no connection to {} within {} s", dialer.target, limit.as_secs()),
                )),
            }
        })
    }
}

impl Dialer {
    async fn open(&self) -> io::Result<Box<dyn Stream>> {
        // First: a certificate that cannot be fetched leaves nobody's connection half open.
        let config = match &self.tls {
            Some(source) => Some(source.config().await?),
            None => None,
        };
        let tcp = match &self.proxy {
            None => dial(&self.target).await?,
            Some(proxy) => through(proxy, &self.target).await?,
        };
        let Some(config) = config else { return Ok(Box::new(tcp)) };
        Ok(Box::new(handshake(&self.target, tcp, config).await?))
    }
}

pub(super) async fn handshake(
    target: &Target,
    tcp: TcpStream,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(target.host.clone()).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no name for TLS: {error}", target.host))
    })?;
    TlsConnector::from(config).connect(name, tcp).await.map_err(|error| {
        let clock = clock_note(&SystemClock);
        io::Error::new(
            error.kind(),
            format!(
                "TLS handshake with {target}: {error} ({clock}a plaintext server or an unknown certificate authority; \
                 see --ca-file)"
            ),
        )
    })
}

/// Certificates are not yet valid to a machine that starts in 1970; who reads the log should not have to guess.
fn clock_note(clock: &dyn Clock) -> String {
    let now = clock.now();
    if now < CLOCK_MIN { format!("this machine's clock says {now}, ") } else { "a wrong clock, ".to_owned() }
}

/// 2024-01-01: no machine that runs this lives before it.
const CLOCK_MIN: Timestamp = Timestamp::constant(1_704_067_200, 0);

pub(super) async fn dial(target: &Target) -> io::Result<TcpStream> {
    let named = |what: &str, error: &io::Error| io::Error::new(error.kind(), format!("{what} {target}: {error}"));
    // Looked up anew for every connection: addresses change while a machine waits.
    let addresses =
        tokio::net::lookup_host((target.host.as_str(), target.port)).await.map_err(|e| named("look up", &e))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        // A quarter of the whole time, so that one dead address does not use up what the next one needs.
        match timeout(Duration::from_secs(4), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                keep_alive(&stream)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(named("connect to", &last))
}

fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, TCP_KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, TCP_KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(stream, TCP_KEEPALIVE_PROBES)?;
    // Keepalive probes are not sent while data is unacknowledged; this bounds that case.
    sockopt::set_tcp_user_timeout(stream, 40_000)?;
    Ok(())
}

/// Longest answer of a proxy to CONNECT.
const PROXY_ANSWER_BYTES_MAX: usize = 16 * 1024;

pub(super) async fn through(proxy: &ProxyAddress, target: &Target) -> io::Result<TcpStream> {
    let mut stream = dial(&proxy.target).await?;
    let authority = target.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", authorization.expose()));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to the tunnel.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_ANSWER_BYTES_MAX {
            return Err(io::Error::other(format!("proxy {}: its answer has no end", proxy.target)));
        }
        answer.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&answer);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
        Ok(stream)
    } else {
        Err(io::Error::other(format!("proxy {} refused to connect to {authority}: {status}", proxy.target)))
    }
}
