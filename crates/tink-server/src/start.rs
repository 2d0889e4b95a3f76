//! Start and stop: everything is checked, then opened, then bound, then served; and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError, Listen};
use crate::engine::{Engine, run_timers};
use crate::metrics::Metrics;
use crate::serve::grpc::Limits;
use crate::serve::tls::Tls;
use crate::serve::{gateway, grpc, http};
use crate::services::v2021;
use crate::store::sqlite::{Retention, SqliteStore};
use crate::store::{Store, StoreError};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address cannot be bound.
    #[error("listen at {addr} for {what}; stop what uses the port, or choose another with {flag}")]
    Bind {
        /// `gRPC` or `HTTP`.
        what: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Its flag.
        flag: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A server that runs. To be stopped with [`Running::shutdown`]; when it is dropped instead, its tasks stop on their own.
pub struct Running {
    grpc_addr: SocketAddr,
    http_addr: Option<SocketAddr>,
    tls: Option<Arc<Tls>>,
    store: Arc<SqliteStore>,
    stop: CancellationToken,
    grace: Duration,
    /// Ends with the gRPC port.
    serving: Option<JoinHandle<()>>,
    /// The HTTP port and the engine's own tasks.
    beside: Vec<JoinHandle<()>>,
}

/// Starts a server with the machine's clock.
///
/// # Errors
/// [`StartError`] says what was being done, with what, and what to do.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_with_clock(config, Arc::new(SystemClock)).await
}

/// Starts a server with a clock of the caller.
///
/// # Errors
/// As [`start`].
pub async fn start_with_clock(config: Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    config.check()?;
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(Tls::load(certificate, key).map_err(ConfigError::from)?)),
        _ => None,
    };
    let metrics = Metrics::new();
    let store = open_store(&config, metrics.clone()).await?;
    let (listener, grpc_addr) = bind("gRPC", config.grpc_addr, "--grpc-addr").await?;
    let http = match config.http_addr {
        Listen::At(addr) => Some(bind("HTTP", addr, "--http-addr").await?),
        Listen::Off => None,
    };

    let engine = Arc::new(Engine::new(Arc::clone(&store) as Arc<dyn Store>, clock, metrics, config.lease));
    let stop = CancellationToken::new();
    let of_2021 = Arc::new(v2021::Api::new(Arc::clone(&engine), config.hold, config.data_versions, stop.clone()));
    let limits = Limits {
        hold: config.hold,
        message_bytes_max: config.message_bytes_max,
        connections_max: config.connections_max,
        references_allowed: config.allow_references,
    };
    let beside_http = older_http(&config, tls.as_ref(), &of_2021);
    let serving = tokio::spawn({
        let (tls, engine, stop) = (tls.clone(), Arc::clone(&engine), stop.clone());
        let ended = stop.clone();
        async move {
            if let Err(error) = grpc::serve(listener, tls, engine, of_2021, limits, stop).await {
                tracing::error!(error = %tink_error::chain(error.as_ref()), "the gRPC port failed");
            }
            // Without its port the server is not ready, and nothing beside it has a purpose.
            ended.cancel();
        }
    });
    let mut beside = vec![
        tokio::spawn({
            let (engine, stop) = (Arc::clone(&engine), stop.clone());
            async move { run_timers(&engine, stop).await }
        }),
        tokio::spawn({
            let (engine, stop) = (Arc::clone(&engine), stop.clone());
            async move { engine.run_presence(stop).await }
        }),
    ];
    let http_addr = http.as_ref().map(|(_, addr)| *addr);
    if let Some((listener, _)) = http {
        let stop = stop.clone();
        beside.push(tokio::spawn(http::serve(listener, engine, beside_http, stop)));
    }
    let (version, data, secure) = (crate::VERSION, config.data.to_string(), tls.is_some());
    let http = http_addr.map_or_else(|| "off".to_owned(), |addr| addr.to_string());
    tracing::info!(version, grpc = %grpc_addr, http, data, tls = secure, "tink-server started");
    let grace = config.shutdown_grace;
    Ok(Running { grpc_addr, http_addr, tls, store, stop, grace, serving: Some(serving), beside })
}

/// What tink-server of 2021 had at its HTTP port, as far as it is wanted.
fn older_http(config: &Config, tls: Option<&Arc<Tls>>, api: &Arc<v2021::Api>) -> axum::Router {
    let mut router = axum::Router::new();
    let given = config.cert_pem.as_deref().map(|pem| gateway::Cert::Given(pem.into()));
    if let Some(cert) = tls.map(|tls| gateway::Cert::Served(Arc::clone(tls))).or(given) {
        router = router.merge(gateway::cert(cert));
    }
    if config.serves_gateway() {
        let (username, password) = (config.http_username.clone(), config.http_password.clone());
        let login = (username.is_some() || password.is_some()).then(|| gateway::Login {
            username: username.unwrap_or_default(),
            password: password.map(|password| password.0).unwrap_or_default(),
        });
        router = router.merge(gateway::v1(Arc::clone(api), login, config.message_bytes_max));
    }
    router
}

async fn open_store(config: &Config, metrics: Metrics) -> Result<Arc<SqliteStore>, StoreError> {
    let place = config.data.clone();
    let retention = Retention { events_per_workflow: config.events_per_workflow, events_total: config.events_total };
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&place, retention, Box::new(metrics))).await;
    opened.unwrap_or(Err(StoreError::Closed)).map(Arc::new)
}

async fn bind(
    what: &'static str,
    addr: SocketAddr,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { what, addr, flag, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl Running {
    /// Where gRPC is served.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Where HTTP is served, if it is.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// Reads the certificate files again, for new connections. Without TLS nothing happens.
    ///
    /// # Errors
    /// What is wrong with the files; the old certificate stays in use.
    pub fn reload_tls(&self) -> Result<(), ConfigError> {
        match &self.tls {
            Some(tls) => Ok(tls.reload()?),
            None => Ok(()),
        }
    }

    /// Returns when the gRPC port has failed by itself (never, in a healthy server).
    pub async fn failed(&mut self) {
        if let Some(serving) = &mut self.serving {
            let done = serving.await;
            self.serving = None;
            ended("gRPC", done);
        }
    }

    /// Stops: no new connections, held calls are answered, calls under way finish within the grace, everything accepted
    /// is on disk when this returns.
    pub async fn shutdown(mut self) {
        tracing::info!("tink-server is stopping");
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut self.beside);
        tasks.extend(self.serving.take());
        let deadline = tokio::time::Instant::now() + self.grace;
        for mut task in tasks {
            match tokio::time::timeout_at(deadline, &mut task).await {
                Ok(done) => ended("a task", done),
                Err(_) => {
                    tracing::warn!("calls did not finish within --shutdown-grace and are cut off");
                    task.abort();
                }
            }
        }
        self.store.close().await;
        tracing::info!("tink-server stopped");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn ended(what: &'static str, done: Result<(), JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        tracing::error!(what, %error, "ended by a panic; this is a bug");
    }
}
