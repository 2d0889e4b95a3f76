//! The server: its engine, its timers and the service of today's wire, over a store that outlives it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;
use tink_proto::v2025::ActionStatusRequest;
use tink_proto::v2025::action_status_request::StateType;
use tink_proto::v2025::workflow_service_server::WorkflowServiceServer;
use tink_server::simulation::{Agents, Engine, MemoryStore, Metrics, Weather, run_timers};
use tink_server::{Clock, StoreError};
use tink_workflow::{ActionState, Workflow, WorkflowId};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use crate::ledger::{LEASE, Ledger, STORING_MS};
use crate::machine::EPOCH_S;
use crate::network::Answer;
use crate::random::Random;

/// How long a call without work is held.
const HOLD: Duration = Duration::from_secs(50);

/// What befalls the server's disk.
pub struct Sky {
    random: Random,
    ledger: Ledger,
    /// Commits that fail, of a thousand.
    failing: Mutex<u64>,
}

impl Sky {
    /// A calm one.
    #[must_use]
    pub fn new(random: Random, ledger: Ledger) -> Self {
        Self { random, ledger, failing: Mutex::new(0) }
    }

    /// From now on so many commits of a thousand fail.
    pub fn set_failing(&self, permille: u64) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = permille;
    }

    async fn strike(&self, doing: &'static str) -> Result<(), StoreError> {
        let slow = self.random.chance(100);
        sleep(if slow { self.random.millis(10, STORING_MS) } else { self.random.millis(0, 5) }).await;
        let failing = *self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.random.chance(failing) { Err(StoreError::DiskFull { doing }) } else { Ok(()) }
    }
}

#[async_trait]
impl Weather for Sky {
    async fn before(&self, doing: &'static str) -> Result<(), StoreError> {
        self.strike(doing).await
    }

    async fn after(&self, doing: &'static str) -> Result<(), StoreError> {
        self.strike(doing).await
    }

    fn committed(&self, before: Option<&Workflow>, after: Option<&Workflow>) {
        self.ledger.committed(before, after);
    }
}

struct WallClock {
    begun: Instant,
    off_s: Mutex<i64>,
}

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.begun.elapsed().as_secs()).unwrap_or(0);
        let off = *self.off_s.lock().unwrap_or_else(PoisonError::into_inner);
        Timestamp::from_second(EPOCH_S + seconds + off).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    async fn sleep_until(&self, at: Timestamp) {
        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO);
        // Whole seconds: the next look must not come before the second is full.
        sleep(left.min(Duration::from_secs(15)).max(Duration::from_millis(100))).await;
    }
}

/// One life of the server's process.
struct Process {
    epoch: u64,
    engine: Arc<Engine>,
    service: WorkflowServiceServer<Agents>,
    /// Every task of it; they end with it.
    tasks: JoinSet<()>,
}

struct State {
    process: Option<Process>,
    starts: u64,
}

/// The server and what it leaves between two lives; clones are the same one.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    /// What is stored.
    pub store: MemoryStore,
    /// What befalls the store.
    pub sky: Arc<Sky>,
    clock: Arc<WallClock>,
    metrics: Metrics,
    random: Random,
    ledger: Ledger,
}

impl Server {
    /// A server that does not run yet.
    #[must_use]
    pub fn new(random: Random, ledger: Ledger, metrics: Metrics) -> Self {
        let sky = Arc::new(Sky::new(random.clone(), ledger.clone()));
        let store = MemoryStore::new(Arc::clone(&sky) as Arc<dyn Weather>);
        let clock = Arc::new(WallClock { begun: Instant::now(), off_s: Mutex::new(0) });
        let state = Arc::new(Mutex::new(State { process: None, starts: 0 }));
        Self { state, store, sky, clock, metrics, random, ledger }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it, unless it runs.
    pub fn start(&self) {
        let mut state = self.lock();
        if state.process.is_some() {
            return;
        }
        self.ledger.server_started();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let engine = Arc::new(Engine::new(Arc::new(self.store.clone()), clock, self.metrics.clone(), LEASE));
        let stop = CancellationToken::new();
        let service = WorkflowServiceServer::new(Agents::new(Arc::clone(&engine), HOLD, stop.clone()));
        let mut tasks = JoinSet::new();
        let timed = Arc::clone(&engine);
        tasks.spawn(async move { run_timers(&timed, stop).await });
        state.starts += 1;
        let epoch = state.starts;
        state.process = Some(Process { epoch, engine, service, tasks });
    }

    /// Kills it at this very moment: what is not committed is lost.
    pub fn kill(&self) {
        let process = self.lock().process.take();
        if let Some(process) = process {
            self.ledger.crashed(format_args!("server dies"));
            drop(process);
        }
    }

    /// From now on the wall clock is off by so much.
    pub fn set_clock_off(&self, seconds: i64) {
        *self.clock.off_s.lock().unwrap_or_else(PoisonError::into_inner) = seconds;
    }

    /// Which life of it runs now, if one does.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.lock().process.as_ref().map(|process| process.epoch)
    }

    /// The engine, for administrators.
    #[must_use]
    pub fn engine(&self) -> Option<Arc<Engine>> {
        self.lock().process.as_ref().map(|process| Arc::clone(&process.engine))
    }

    /// Serves a call. A caller that goes away is noticed, or not.
    pub fn serve(&self, request: http::Request<Body>, body: Bytes) -> Option<Answer> {
        let mut state = self.lock();
        let process = state.process.as_mut()?;
        while process.tasks.try_join_next().is_some() {}
        let mut service = process.service.clone();
        let (mut sender, answer) = oneshot::channel();
        let notices = self.random.chance(500);
        let server = self.clone();
        process.tasks.spawn(async move {
            let process = request.headers().get("tink-worker-instance").and_then(|value| value.to_str().ok());
            let process = process.unwrap_or_default().to_owned();
            let is_report = request.uri().path().ends_with("/ReportActionStatus");
            let call = service.call(request);
            let response = if notices {
                tokio::select! {
                    biased;
                    response = call => response,
                    () = sender.closed() => return,
                }
            } else {
                call.await
            };
            let Ok(response) = response;
            if is_report {
                server.check_acknowledged(&response, &body, &process);
            }
            // The caller may be gone.
            let _ = sender.send(response);
        });
        Some(answer)
    }

    /// What is acknowledged is stored.
    fn check_acknowledged(&self, response: &http::Response<Body>, body: &[u8], process: &str) {
        let failed = response.headers().get("grpc-status").is_some_and(|status| status != "0");
        let refused = response.headers().contains_key("tink-refused");
        let Ok(said) = ActionStatusRequest::decode(body.get(5..).unwrap_or_default()) else { return };
        if said.leaving() {
            return;
        }
        let state = match said.action_state() {
            StateType::Success => ActionState::Success,
            StateType::Failed => ActionState::Failed,
            StateType::Timeout => ActionState::Timeout,
            StateType::Running if !failed => {
                return self.ledger.leave(said.action_id.as_deref().unwrap_or_default(), process);
            }
            _ => return,
        };
        let Ok(id) = WorkflowId::parse(said.workflow_id.unwrap_or_default()) else { return };
        let action = said.action_id.unwrap_or_default();
        self.ledger.note(format_args!("report of {action} {state}: failed {failed}, refused {refused}"));
        if failed || refused {
            return;
        }
        let stored = self.store.now(&id);
        let known = stored.as_ref().and_then(|stored| {
            stored.workflow.actions().find(|(_, known)| known.id.as_str() == action).map(|(_, known)| known.state)
        });
        if known.is_some_and(|known| known != state) {
            self.ledger.violation(format!("{action} was acknowledged {state} and is stored as {known:?}"));
        }
    }
}
