//! Accepts connections for gRPC, plain or TLS, a bounded number at once.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use ulid::Ulid;

use super::tls::Tls;
use crate::engine::OpenLine;
use crate::services::Peer;

/// A client that says nothing does not keep a place for longer.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Wait after an accept that failed for lack of something (file descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// A connection and its place among the allowed ones.
pub struct Connection {
    io: Io,
    peer: SocketAddr,
    /// Closed when the connection is dropped.
    open: OpenLine,
    _place: OwnedSemaphorePermit,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        Peer { address: self.peer, line: self.open.line() }
    }
}

/// Accepts until `stop`; handshakes run beside each other, so that a slow client delays nobody.
pub async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    connections_max: usize,
    ready: mpsc::Sender<io::Result<Connection>>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(connections_max));
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = handshakes.join_next(), if !handshakes.is_empty() => continue,
            accepted = next(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        // Answers are small and waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection broke at once");
            continue;
        }
        let (tls, ready) = (tls.clone(), ready.clone());
        handshakes.spawn(async move {
            if let Some(io) = handshake(stream, peer, tls).await {
                let open = OpenLine::new(Ulid::new().to_string());
                // Fails when the server stops.
                let _ = ready.send(Ok(Connection { io, peer, open, _place: place })).await;
            }
        });
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // Without a free place nothing is accepted: clients wait in the kernel's queue.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_RETRY).await;
            None
        }
    }
}

async fn handshake(stream: TcpStream, peer: SocketAddr, tls: Option<Arc<Tls>>) -> Option<Io> {
    let Some(tls) = tls else { return Some(Io::Plain(stream)) };
    match tokio::time::timeout(HANDSHAKE_MAX, TlsAcceptor::from(tls.config()).accept(stream)).await {
        Ok(Ok(stream)) => Some(Io::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::warn!(%peer, %error, "TLS handshake failed (does the client use TLS, and trust the certificate?)");
            None
        }
        Err(_) => {
            tracing::warn!(%peer, "TLS handshake took too long");
            None
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
