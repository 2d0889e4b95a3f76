//! What is counted, for Prometheus.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tink_workflow::{Action, ActionState, WorkflowState};

use crate::store::{StateCount, sqlite::CommitObserver};

/// Label `state`.
type State = [(&'static str, &'static str); 1];
/// Labels `grpc_method` and `grpc_code`, both from closed sets.
type Call = [(&'static str, &'static str); 2];

/// The states a workflow can be in; each is shown, also with no workflow in it.
const WORKFLOW_STATES: [WorkflowState; 6] = [
    WorkflowState::Pending,
    WorkflowState::Running,
    WorkflowState::Success,
    WorkflowState::Failed,
    WorkflowState::Timeout,
    WorkflowState::Cancelled,
];
const ACTION_ENDS: [ActionState; 3] = [ActionState::Success, ActionState::Failed, ActionState::Timeout];

/// Counters and gauges; clones count into the same.
#[derive(Clone)]
pub struct Metrics {
    registry: std::sync::Arc<Registry>,
    workflows: Family<State, Gauge>,
    workflows_finished: Family<State, Counter>,
    actions_finished: Family<State, Counter>,
    action_seconds: Histogram,
    /// Reports of workers, refused ones included.
    pub reports: Counter,
    /// Reports that changed nothing because they contradict what is known.
    pub reports_refused: Counter,
    held: Gauge,
    commit_seconds: Histogram,
    commit_changes: Histogram,
    calls: Family<Call, Counter>,
    /// Calls that ended by a panic.
    pub panics: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tink");
        let workflows = Family::default();
        let workflows_finished = Family::default();
        let actions_finished = Family::default();
        // 0.1 s to about 3.6 h.
        let action_seconds = Histogram::new(exponential_buckets(0.1, 3.2, 11));
        let (reports, reports_refused, panics) = (Counter::default(), Counter::default(), Counter::default());
        let held = Gauge::default();
        // 50 µs to about 0.8 s.
        let commit_seconds = Histogram::new(exponential_buckets(0.000_05, 2.0, 15));
        let commit_changes = Histogram::new(exponential_buckets(1.0, 2.0, 10));
        let calls = Family::default();
        for state in WORKFLOW_STATES {
            drop(Family::<State, Counter>::get_or_create(&workflows_finished, &[("state", state.as_str())]));
        }
        for state in ACTION_ENDS {
            drop(Family::<State, Counter>::get_or_create(&actions_finished, &[("state", state.as_str())]));
        }
        registry.register("workflows", "Workflows by state", Family::clone(&workflows));
        registry.register("workflows_finished", "Workflows that ended, by state", Family::clone(&workflows_finished));
        registry.register("actions_finished", "Actions that ended, by state", Family::clone(&actions_finished));
        registry.register(
            "action_duration_seconds",
            "Time an action took, by its worker's clock",
            action_seconds.clone(),
        );
        registry.register("reports", "Reports of workers", reports.clone());
        registry.register(
            "reports_refused",
            "Reports that contradict what is known and changed nothing",
            reports_refused.clone(),
        );
        registry.register("get_action_held", "GetAction calls held open for work", held.clone());
        registry.register("store_commit_seconds", "Time of a commit, fsync included", commit_seconds.clone());
        registry.register("store_commit_changes", "Changes that shared a commit", commit_changes.clone());
        registry.register("grpc_requests", "gRPC calls by method and code", Family::clone(&calls));
        registry.register("grpc_panics", "gRPC calls that ended by a panic", panics.clone());
        registry.register("build", "What runs here", Info::new([("version", crate::VERSION)]));
        Self {
            registry: std::sync::Arc::new(registry),
            workflows,
            workflows_finished,
            actions_finished,
            action_seconds,
            reports,
            reports_refused,
            held,
            commit_seconds,
            commit_changes,
            calls,
            panics,
        }
    }

    /// An action reached its end.
    pub fn action_finished(&self, action: &Action) {
        self.actions_finished.get_or_create(&[("state", action.state.as_str())]).inc();
        if let (Some(from), Some(to)) = (action.started_at, action.stopped_at) {
            self.action_seconds.observe(to.duration_since(from).as_secs_f64().max(0.0));
        }
    }

    /// A workflow reached its end.
    pub fn workflow_finished(&self, state: WorkflowState) {
        self.workflows_finished.get_or_create(&[("state", state.as_str())]).inc();
    }

    /// A gRPC call was answered.
    pub fn called(&self, method: &'static str, code: &'static str) {
        self.calls.get_or_create(&[("grpc_method", method), ("grpc_code", code)]).inc();
    }

    /// The text for Prometheus, with the states and held calls of this moment.
    pub fn render(&self, states: &[StateCount], held: usize) -> String {
        for state in WORKFLOW_STATES {
            let count = states.iter().find(|count| count.state == state.as_str()).map_or(0, |count| count.count);
            self.workflows.get_or_create(&[("state", state.as_str())]).set(count);
        }
        self.held.set(i64::try_from(held).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing into a String cannot fail; were it to, an empty answer is a failed scrape.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

impl CommitObserver for Metrics {
    fn committed(&self, changes: usize, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "at most a few hundred")]
        self.commit_changes.observe(changes as f64);
    }
}
