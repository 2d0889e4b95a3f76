//! The HTTP port: for supervisors and Prometheus, and, as it is configured, for what spoke to tink-server of 2021 ([`gateway`]).
//!
//! [`gateway`]: super::gateway

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;

/// An answer of `/readyz` stands for so long: each one writes to the disk, and anybody may ask.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Longest wait for a probe.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// A client that does not finish its question keeps no place for longer.
const HEADER_MAX: Duration = Duration::from_secs(5);
/// Longest life of a connection.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Wait after an accept that failed for lack of something (file descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

struct Http {
    engine: Arc<Engine>,
    stop: CancellationToken,
    last_probe: Mutex<Option<(Instant, Result<(), String>)>>,
}

/// Serves until `stop`. A connection carries one request and ends in bounded time; requests under way are cut off by a
/// stop. `beside` is served, too.
pub async fn serve(listener: TcpListener, engine: Arc<Engine>, beside: Router, stop: CancellationToken) {
    let state = Arc::new(Http { engine, stop: stop.clone(), last_probe: Mutex::new(None) });
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(state)
        .merge(beside);
    let mut connections = JoinSet::new();
    loop {
        let free = connections.len() < CONNECTIONS_MAX;
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if free => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(router.clone());
                let served = http1::Builder::new()
                    .keep_alive(false)
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_MAX)
                    .serve_connection(TokioIo::new(stream), service);
                // What went wrong with a question is the business of who asked.
                connections.spawn(async { drop(tokio::time::timeout(REQUEST_MAX, served).await) });
            }
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Ready: the gRPC port is open (it is bound before this one serves), the server does not stop, and the data file takes a
/// durable write.
async fn ready(State(http): State<Arc<Http>>) -> Response {
    if http.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n").into_response();
    }
    // Under the lock: many who ask at once share one write.
    let mut last = http.last_probe.lock().await;
    let fresh = last.as_ref().filter(|(at, _)| at.elapsed() < PROBE_EVERY).map(|(_, result)| result.clone());
    let result = match fresh {
        Some(result) => result,
        None => {
            let result = match tokio::time::timeout(PROBE_MAX, http.engine.store.probe()).await {
                Ok(probed) => probed.map_err(|error| error.to_string()),
                Err(_) => Err(format!("the data file did not take a write within {} s", PROBE_MAX.as_secs())),
            };
            *last = Some((Instant::now(), result.clone()));
            result
        }
    };
    match result {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(http): State<Arc<Http>>) -> Response {
    match http.engine.store.count_by_state().await {
        Ok(states) => {
            let text = http.engine.metrics.render(&states, http.engine.waiters.held());
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn version() -> Response {
    // The first two as tink-server of 2021.
    let body = serde_json::json!({"git_rev": crate::VERSION, "service_name": "tinkerbell", "version": crate::VERSION});
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
