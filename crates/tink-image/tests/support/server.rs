//! A small HTTP server that misbehaves on demand.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tink_image::{Digest, ImageBuilder, ImageRef};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: HashMap<String, String>,
    /// How many requests for the same target came before.
    pub before: usize,
}

/// What has to end before an answer goes on.
type Until = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is sent back.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    pub cut: Option<usize>,
    /// The connection stays open and nothing more comes.
    pub silent: bool,
    /// After so many bytes of the body the rest waits for this.
    pub hold: Option<(usize, Until)>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None, silent: false, hold: None }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }

    pub fn hold(mut self, after: usize, until: impl Future<Output = ()> + Send + 'static) -> Self {
        self.hold = Some((after, Box::pin(until)));
        self
    }
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// Serves until dropped.
pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    breaks: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub async fn plain(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(handler, None).await
    }

    pub async fn tls(config: rustls::ServerConfig, handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(handler, Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await
    }

    /// The next so many TLS handshakes break.
    pub fn break_handshakes(&self, number: usize) {
        self.breaks.store(number, Ordering::SeqCst);
    }

    async fn start(
        handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (handler, log): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&asked));
        let breaks = Arc::new(AtomicUsize::new(0));
        let to_break = Arc::clone(&breaks);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, log, tls) = (Arc::clone(&handler), Arc::clone(&log), tls.clone());
                let to_break = Arc::clone(&to_break);
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &*handler, &log).await,
                        Some(_) if !begins_with_handshake(&stream).await => refuse_plain(stream).await,
                        Some(tls) => {
                            let one_less = |left: usize| left.checked_sub(1);
                            if to_break.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                                return;
                            }
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &*handler, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, asked, breaks, _tasks: tasks }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn image(&self, name: &str) -> ImageRef {
        ImageRef::parse(&format!("{}/{name}", self.host())).unwrap()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Requests whose target holds a text.
    pub fn asked_for(&self, part: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.target.contains(part)).collect()
    }
}

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

async fn begins_with_handshake(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first == [HANDSHAKE]
}

/// As Go's servers answer a request without TLS.
async fn refuse_plain(mut stream: TcpStream) {
    if read_head(&mut stream).await.is_some() {
        let answer = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        let _ = stream.write_all(answer).await;
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, handler: &Handler, log: &Mutex<Vec<Asked>>) {
    let Some(mut asked) = read_head(&mut stream).await else { return };
    {
        let mut log = log.lock().unwrap();
        asked.before = log.iter().filter(|known| known.target == asked.target && known.method == asked.method).count();
        log.push(asked.clone());
    }
    if asked.method == "CONNECT" {
        let answer = handler(&asked);
        // The handler says where the tunnel really leads.
        if answer.status == 200 {
            let to: u16 = String::from_utf8(answer.body).unwrap().parse().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
            return;
        }
        let _ =
            stream.write_all(format!("HTTP/1.1 {} No\r\ncontent-length: 0\r\n\r\n", answer.status).as_bytes()).await;
        return;
    }
    let answer = handler(&asked);
    let mut head =
        format!("HTTP/1.1 {} Said\r\nconnection: close\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = &answer.body[..answer.cut.unwrap_or(answer.body.len()).min(answer.body.len())];
    let _ = stream.write_all(head.as_bytes()).await;
    let held_from = answer.hold.as_ref().map_or(body.len(), |(after, _)| *after).min(body.len());
    let _ = stream.write_all(&body[..held_from]).await;
    let _ = stream.flush().await;
    if let Some((_, until)) = answer.hold {
        until.await;
        let _ = stream.write_all(&body[held_from..]).await;
        let _ = stream.flush().await;
    }
    if answer.silent {
        std::future::pending::<()>().await;
    }
    let _ = stream.shutdown().await;
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
        // A web server refuses at once what is no HTTP.
        if head == [HANDSHAKE] {
            return None;
        }
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Some(Asked { method, target, headers: headers.collect(), before: 0 })
}

/// An image as a registry serves it.
#[derive(Clone)]
pub struct Served {
    blobs: Arc<HashMap<String, Vec<u8>>>,
    pub manifest: Vec<u8>,
    pub digest: Digest,
    /// Digests of the layers, lowest first.
    pub layers: Vec<String>,
}

impl Served {
    pub fn new(image: &ImageBuilder) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let built = image.write_layout(directory.path(), &ImageRef::parse("served:v1").unwrap()).unwrap();
        let read = |path: &Path| std::fs::read(path).unwrap();
        let folder = directory.path().join("blobs/sha256");
        let blobs: HashMap<String, Vec<u8>> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (format!("sha256:{}", entry.file_name().into_string().unwrap()), read(&entry.path())))
            .collect();
        let manifest = blobs[built.manifest.as_str()].clone();
        let parsed: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let layers =
            parsed["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap().to_owned());
        Self { layers: layers.collect(), blobs: Arc::new(blobs), digest: built.manifest, manifest }
    }

    pub fn blob(&self, digest: &str) -> &[u8] {
        &self.blobs[digest]
    }

    /// What an honest registry answers.
    pub fn answer(&self, asked: &Asked) -> Answer {
        let path = asked.target.split('?').next().unwrap();
        if path.contains("/manifests/") {
            return Answer::new(200, self.manifest.clone())
                .header("content-type", "application/vnd.oci.image.manifest.v1+json")
                .header("docker-content-digest", self.digest.to_string());
        }
        let Some(blob) = path.rsplit_once("/blobs/").and_then(|(_, digest)| self.blobs.get(digest)) else {
            return Answer::new(404, "");
        };
        match asked
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
        {
            Some(start) => {
                let range = format!("bytes {start}-{}/{}", blob.len() - 1, blob.len());
                Answer::new(206, blob[start..].to_vec()).header("content-range", range)
            }
            None => Answer::new(200, blob.clone()),
        }
    }
}
