//! The network between a worker and the server: messages are late, lost, doubled or out of order, connections break or hang.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use prost::Message as _;
use tink_proto::v2025::ActionStatusRequest;
use tink_proto::v2025::action_status_request::StateType;
use tink_server::simulation::{OpenLine, Peer};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::body::Body;

use crate::ledger::Ledger;
use crate::life::Life;
use crate::random::Random;
use crate::server::Server;

/// Until the server's keepalive finds a peer that does not answer.
const KEEPALIVE_MS: u64 = 50_000;

struct State {
    open: Option<Connection>,
    cut: bool,
    /// Messages that are lost, and that come twice, of a thousand each.
    lossy: u64,
    connections: u64,
}

/// A connection that the server holds for open.
struct Connection {
    process: String,
    epoch: u64,
    _open: OpenLine,
    peer: Peer,
    ledger: Ledger,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.ledger.line(&self.process, self.epoch, false);
    }
}

/// A machine's way to the server; clones are the same one.
#[derive(Clone)]
pub struct Link {
    number: usize,
    state: Arc<Mutex<State>>,
    random: Random,
    ledger: Ledger,
    server: Server,
}

impl Link {
    /// A way that works.
    #[must_use]
    pub fn new(number: usize, random: Random, ledger: Ledger, server: Server) -> Self {
        let state = State { open: None, cut: false, lossy: 0, connections: 0 };
        Self { number, state: Arc::new(Mutex::new(state)), random, ledger, server }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing passes, or everything again. The server holds the connection for open for a while.
    pub fn set_cut(&self, cut: bool) {
        self.lock().cut = cut;
        self.ledger.note(format_args!("link {} {}", self.number, if cut { "cut" } else { "heals" }));
        if cut {
            self.close_later(self.random.millis(KEEPALIVE_MS / 2, KEEPALIVE_MS));
        }
    }

    /// From now on so many messages of a thousand are lost, and as many come twice.
    pub fn set_lossy(&self, permille: u64) {
        self.lock().lossy = permille;
    }

    /// The process ended: its connections end soon, or, where its machine went with it, when the keepalive finds out.
    pub fn hang_up(&self, with_machine: bool) {
        let most = if with_machine { KEEPALIVE_MS } else { 200 };
        self.close_later(self.random.millis(0, most));
    }

    fn close_later(&self, after: Duration) {
        let connection = self.lock().open.take();
        if let Some(connection) = connection {
            tokio::spawn(async move {
                sleep(after).await;
                drop(connection);
            });
        }
    }

    /// The connection to the server as it runs now.
    fn peer(&self, process: &str, epoch: u64) -> Peer {
        let mut state = self.lock();
        if let Some(open) = &state.open
            && open.epoch == epoch
            && open.process == process
        {
            return open.peer.clone();
        }
        state.connections += 1;
        let open = OpenLine::new(format!("{}-{}", self.number, state.connections));
        let address = SocketAddr::from(([10, 0, 0, u8::try_from(self.number).unwrap_or(u8::MAX)], 1));
        let peer = Peer { address, line: open.line() };
        self.ledger.line(process, epoch, true);
        let (process, ledger) = (process.to_owned(), self.ledger.clone());
        state.open = Some(Connection { process, epoch, _open: open, peer: peer.clone(), ledger });
        peer
    }

    /// Whether a message passes, after its time; what does not may never be heard of again, or break the connection.
    async fn pass(&self) -> io::Result<()> {
        let slow = self.random.chance(30);
        sleep(if slow { self.random.millis(100, 20_000) } else { self.random.millis(0, 20) }).await;
        let (cut, lossy) = {
            let state = self.lock();
            (state.cut, state.lossy)
        };
        if !cut && !self.random.chance(lossy) {
            return Ok(());
        }
        if self.random.chance(500) {
            pending::<()>().await;
        }
        sleep(self.random.millis(0, 10_000)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    }

    /// Brings a request to the server; the answer comes through the receiver.
    fn deliver(&self, process: &str, path: &str, headers: http::HeaderMap, body: Bytes) -> io::Result<Answer> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let epoch = self.server.epoch().ok_or_else(refused)?;
        let mut request = http::Request::new(Body::new(Full::new(body.clone())));
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = headers;
        *request.uri_mut() = path.parse().map_err(io::Error::other)?;
        request.extensions_mut().insert(self.peer(process, epoch));
        self.ledger.heard(process);
        self.server.serve(request, body).ok_or_else(refused)
    }
}

/// Comes when the server answers; broken when it dies before.
pub type Answer = oneshot::Receiver<http::Response<Body>>;

/// A process's channel to the server.
#[derive(Clone)]
pub struct Wire {
    link: Link,
    life: Life,
    /// What the process is called.
    process: Arc<str>,
}

impl Wire {
    /// The channel of the process `life`.
    #[must_use]
    pub fn new(link: Link, life: Life, process: &str) -> Self {
        Self { link, life, process: process.into() }
    }

    async fn call(self, request: http::Request<Body>) -> io::Result<http::Response<Body>> {
        self.life.step_or_die().await;
        let link = &self.link;
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let path = parts.uri.path().to_owned();
        let said = said(&path, &body);
        self.note_request(&path, said.as_ref());
        self.double(&path, &parts.headers, &body);
        link.pass().await?;
        let answer = link.deliver(&self.process, &path, parts.headers, body)?;
        let answer = answer.await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?;
        self.note_answer(said.as_ref(), &answer);
        link.pass().await?;
        self.life.step_or_die().await;
        Ok(answer)
    }

    fn note_request(&self, path: &str, said: Option<&ActionStatusRequest>) {
        match said {
            None if path.ends_with("/GetAction") => self.link.ledger.asks_for_work(&self.process),
            Some(said) if is_failure(said) => self.link.ledger.stays(said.action_id(), &self.process, false),
            _ => {}
        }
    }

    fn note_answer(&self, said: Option<&ActionStatusRequest>, answer: &http::Response<Body>) {
        let status = answer.headers().get("grpc-status").and_then(|status| status.to_str().ok()).unwrap_or("0");
        match (said, status) {
            (Some(said), _) if is_failure(said) => self.link.ledger.stays(said.action_id(), &self.process, true),
            (Some(said), "0") if said.leaving() => self.link.ledger.announced(said.action_id(), &self.process, true),
            // Refused: NOT_FOUND or FAILED_PRECONDITION.
            (Some(said), "5" | "9") if said.leaving() => {
                self.link.ledger.announced(said.action_id(), &self.process, false);
            }
            _ => {}
        }
    }

    /// The same message comes a second time, soon or late, as one does that a proxy repeats.
    fn double(&self, path: &str, headers: &http::HeaderMap, body: &Bytes) {
        let lossy = self.link.lock().lossy;
        if !self.link.random.chance(lossy) {
            return;
        }
        let after = self.link.random.millis(0, 100_000);
        let (wire, path, headers, body) = (self.clone(), path.to_owned(), headers.clone(), body.clone());
        tokio::spawn(async move {
            sleep(after).await;
            // Nobody waits for the answer.
            if !wire.link.lock().cut
                && let Ok(answer) = wire.link.deliver(&wire.process, &path, headers, body)
            {
                drop(answer.await);
            }
        });
    }
}

fn is_failure(said: &ActionStatusRequest) -> bool {
    matches!(said.action_state(), StateType::Failed | StateType::Timeout)
}

/// The report in a request, if it is one.
fn said(path: &str, body: &[u8]) -> Option<ActionStatusRequest> {
    let is_report = path.ends_with("/ReportActionStatus");
    is_report.then(|| ActionStatusRequest::decode(body.get(5..).unwrap_or_default()).ok()).flatten()
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({})", self.link.number)
    }
}

impl tower::Service<http::Request<Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<http::Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.clone().call(request))
    }
}
