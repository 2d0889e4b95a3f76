//! What the wires of 2021 and 2023 have in common: a worker that polls for contexts and decides itself what is next.
//!
//! A server of these years keeps one cursor a workflow, the index of an action and that action's state, and gives out
//! the whole list of actions. What the cursor means differs: a PostgreSQL server leaves it on the last action until the
//! next one is reported RUNNING, and takes a second RUNNING for that of the action after it; a Kubernetes server moves
//! it on with the result, shows workflows from a cache that may be a moment old, and says "invalid workflow id" also
//! where two writes met. So nothing is concluded from an error here; the cursor is read again.
//!
//! Actions have no ids on these wires. Ours are derived from workflow, task, name and index, so that the journal knows
//! an action that comes again.

mod cursor;
mod data;
mod ids;
mod offer;
mod settle;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tink_workflow::{ActionState, WorkerId};
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::{PollingSettings, Target, status};
use crate::transport::{Ack, Next, Transport, TransportError};
use crate::{Assignment, Report};
use cursor::Cursor;
use data::WorkflowData;

pub(crate) use ids::is_derived;

/// An action as these wires send it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WireAction {
    pub(super) task: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) timeout_s: i64,
    pub(super) command: Vec<String>,
    pub(super) on_timeout: Vec<String>,
    pub(super) on_failure: Vec<String>,
    pub(super) worker: String,
    pub(super) volumes: Vec<String>,
    pub(super) environment: Vec<String>,
    pub(super) pid: String,
}

/// A context as these wires send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WireContext {
    pub(super) workflow: String,
    pub(super) task: String,
    pub(super) action: String,
    pub(super) index: i64,
    pub(super) state: ActionState,
    pub(super) total: i64,
}

/// An answer to a call for contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Streamed {
    pub(super) contexts: Vec<WireContext>,
    /// As [`Assignment::lease_s`]; upstream's servers know no leases.
    pub(super) lease_s: u64,
}

/// A report as these wires send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WireStatus {
    pub(super) workflow: String,
    pub(super) task: String,
    pub(super) action: String,
    pub(super) state: ActionState,
    pub(super) seconds: i64,
    pub(super) message: String,
    pub(super) worker: String,
}

/// How a call for contexts is to be answered. Upstream's servers answer at once and do not look at this; ours holds the
/// call until there is work, and tells the state of an action as it is only to a worker that says this: upstream's
/// workers leave reports out when they hear RUNNING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// When there is work.
    UntilWork,
    /// At once.
    No,
}

impl Hold {
    /// The request, saying so.
    pub(super) fn on<T>(self, mut request: tonic::Request<T>) -> tonic::Request<T> {
        let value = match self {
            Self::UntilWork => "held",
            Self::No => "now",
        };
        request.metadata_mut().insert("tink-contexts", tonic::metadata::MetadataValue::from_static(value));
        request
    }
}

/// The calls of one generation.
#[async_trait]
pub(super) trait Wire: Send + Sync {
    /// Longest message of a report, in characters.
    const MESSAGE_CHARS_MAX: usize;

    /// What the server thinks this worker has to do. Where nothing is to be done, a server that can hold the call may.
    async fn contexts(&self, worker: &str, hold: Hold) -> Result<Streamed, Status>;
    /// Every workflow of this worker, where there is such a call.
    async fn all_contexts(&self, worker: &str) -> Result<Vec<WireContext>, Status>;
    /// One workflow, where there is such a call.
    async fn context(&self, workflow: &str) -> Result<Option<WireContext>, Status>;
    /// The actions of a workflow.
    async fn actions(&self, workflow: &str) -> Result<Vec<WireAction>, Status>;
    /// Says what became of an action. A refusal among the answers is one that only our server gives.
    async fn report(&self, status: WireStatus) -> Result<Ack, Status>;
    /// The workflow's data, where there is such a call.
    async fn data(&self, workflow: &str) -> Result<Option<Vec<u8>>, Status>;
    /// Stores the workflow's data; whether there is such a call.
    async fn store_data(&self, workflow: &str, metadata: Vec<u8>, data: Vec<u8>) -> Result<bool, Status>;
}

/// A server of one of these generations.
pub(super) struct Polling<W> {
    wire: W,
    target: Target,
    worker: WorkerId,
    settings: PollingSettings,
    next_timeout: Duration,
    report_timeout: Duration,
    data: WorkflowData,
    memory: Mutex<Memory>,
}

/// What was seen lately. None of it is needed for correctness: what is not known is asked for.
#[derive(Default)]
struct Memory {
    /// Where the server stood when it gave an action out, by derived id.
    offered: HashMap<String, Cursor>,
    /// Since when the server has said that an action which ended here was never begun.
    doubts: HashMap<String, Instant>,
}

/// A server shows its memory of a moment ago; what it says for longer than this is so.
const STALE_MAX: Duration = Duration::from_secs(10);

/// Workflows of one worker that are looked at.
pub(super) const CONTEXTS_MAX: usize = 10_000;

/// Actions whose cursor is remembered at most; more workflows than this at one time are asked for again.
const MEMORY_MAX: usize = 256;

impl<W: Wire> Polling<W> {
    pub(super) fn new(
        wire: W,
        target: Target,
        worker: WorkerId,
        settings: PollingSettings,
        (next_timeout, report_timeout): (Duration, Duration),
    ) -> Self {
        let data = WorkflowData::new(settings.data_dir.clone(), settings.data_bytes_max);
        Self { wire, target, worker, settings, next_timeout, report_timeout, data, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Entries are replaced whole, so a panic elsewhere cannot leave one half changed.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, failure: &Status) -> TransportError {
        status::error(failure, &self.target)
    }

    fn garbage(&self, reason: String) -> TransportError {
        TransportError::Garbage { server: self.target.to_string(), reason }
    }

    /// A call or several of them, within our own deadline.
    async fn within<T>(
        &self,
        limit: Duration,
        calls: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        timeout(limit, calls).await.unwrap_or_else(|_| {
            Err(TransportError::Unreachable {
                server: self.target.to_string(),
                reason: format!("no answer within {} s", limit.as_secs()),
            })
        })
    }
}

#[async_trait]
impl<W: Wire> Transport for Polling<W> {
    async fn next(&self) -> Result<Next, TransportError> {
        let offer = self.within(self.next_timeout, self.offer()).await?;
        Ok(offer.map_or(Next::Nothing, |assignment: Assignment| Next::Action(Box::new(assignment))))
    }

    async fn report(&self, report: &Report) -> Result<Ack, TransportError> {
        match report.state {
            ActionState::Running => self.within(self.report_timeout, self.running(report)).await,
            _ => self.within(self.report_timeout, self.result(report)).await,
        }
    }

    /// By a look at where the workflows stand: a second RUNNING means the next action to some servers, and it fetches the
    /// workflow's data over the action that runs.
    async fn renew(&self, _running: &Report) -> Result<(), TransportError> {
        let look = async {
            let looked = self.wire.contexts(self.worker.as_str(), Hold::No).await;
            looked.map(drop).map_err(|failure| self.error(&failure))
        };
        self.within(self.report_timeout, look).await
    }
}

impl<W> fmt::Debug for Polling<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polling").field("server", &self.target).field("worker", &self.worker).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
