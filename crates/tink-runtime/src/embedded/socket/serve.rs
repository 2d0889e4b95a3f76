//! The server process's life: from the socket's making to the container's end.

use std::convert::Infallible;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tink_image::Image;
use tink_oci::{Status, WaitError};
use tink_workflow::ImageRef;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::setup::Setup;
use super::{routes, short_path};
use crate::EmbeddedRuntime;

/// Connections at one time; a further one is closed at once.
const CONNECTIONS_MAX: usize = 32;
/// For a client's request to arrive.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// For a container to show after its launcher let go, which it does when the container runs, or when it dies itself.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(5);
const LAUNCH_LOOK: Duration = Duration::from_millis(100);
/// For what was asked for before the container ended.
const LAST_DEADLINE: Duration = Duration::from_secs(30);

/// What the calls are carried out with.
pub(super) struct Engine {
    pub(super) runtime: EmbeddedRuntime,
    /// The container that is served.
    pub(super) container: String,
    /// Images that were pulled through this socket, or the one before it, and must stay.
    held: Mutex<Vec<Image>>,
}

impl Engine {
    /// Keeps an image for as long as this process lives; whether it is there.
    pub(super) async fn hold(&self, image: ImageRef) -> Result<Option<String>, String> {
        let store = self.runtime.store.clone();
        let found = tokio::task::spawn_blocking(move || store.get(&image)).await.map_err(|error| error.to_string())?;
        let Some(image) = found.map_err(|error| error.chain())? else { return Ok(None) };
        let id = image.id.to_string();
        if let Ok(mut held) = self.held.lock() {
            held.retain(|one| one.reference != image.reference);
            held.push(image);
        }
        Ok(Some(id))
    }

    /// The names of what is held.
    pub(super) fn held(&self) -> Vec<ImageRef> {
        let names = |held: &Vec<Image>| held.iter().map(|image| image.reference.clone()).collect();
        self.held.lock().map(|held| names(&held)).unwrap_or_default()
    }
}

/// A bound socket.
pub(super) struct Server {
    engine: Arc<Engine>,
    listener: UnixListener,
}

impl Server {
    pub(super) fn open(setup: &Setup) -> Result<Self, String> {
        let runtime = EmbeddedRuntime::open(&setup.options()).map_err(|error| error.to_string())?;
        let dir = runtime.dir(&setup.container);
        let images = setup.images.iter().filter_map(|image| runtime.store.get(image).ok().flatten()).collect();
        let bound = File::open(&dir).and_then(|directory| {
            let path = short_path(&directory);
            // Left by a start that was given up; whoever starts us holds the directory alone.
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path)?;
            // Programs in the container need not be root; the directory is closed to everybody else.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
            Ok(listener)
        });
        let listener = bound.map_err(|error| format!("failed to make a socket in {}: {error}", dir.display()))?;
        let engine = Engine { runtime, container: setup.container.clone(), held: Mutex::new(images) };
        Ok(Self { engine: Arc::new(engine), listener })
    }

    /// Serves until the container is over.
    pub(super) async fn run(self) {
        let over = self.over();
        tokio::pin!(over);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut over => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                        connections.spawn(connection(stream, Arc::clone(&self.engine)));
                    }
                    Ok(_) => {}
                    // Out of descriptors or memory: it passes.
                    Err(_) => tokio::time::sleep(LAUNCH_LOOK).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
        // Whoever asked is dead, and so are idle connections; what was begun is brought to its end.
        let rest = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_DEADLINE, rest).await;
    }

    async fn over(&self) {
        let launched =
            tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
        let _ = launched.await;
        let dir = self.engine.runtime.dir(&self.engine.container);
        let mut waited = Duration::ZERO;
        while matches!(tink_oci::status(&dir), Ok(Status::Gone)) && waited < LAUNCH_PATIENCE {
            tokio::time::sleep(LAUNCH_LOOK).await;
            waited += LAUNCH_LOOK;
        }
        // For want of a descriptor, say: the container is served on.
        while !matches!(tink_oci::wait(&dir).await, Ok(_) | Err(WaitError::Gone { .. })) {
            tokio::time::sleep(LAUNCH_PATIENCE).await;
        }
    }
}

async fn connection(stream: tokio::net::UnixStream, engine: Arc<Engine>) {
    let service = service_fn(move |request| {
        let engine = Arc::clone(&engine);
        async move { Ok::<_, Infallible>(routes::answer(&engine, request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    // A client that breaks off is none of ours.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}
