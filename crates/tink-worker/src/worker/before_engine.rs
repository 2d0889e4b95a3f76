//! What can be done without an engine.
//!
//! An engine may take long to answer, or never do. What earlier lives of the worker have to say does not need it, and a
//! server that hears nothing meanwhile would give an action that runs to another process. New work is not asked for: it
//! could not be started.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::info;

use super::{Settings, lease, spawn_reporter};
use crate::Transport;
use crate::journal::{Journal, Phase};

/// Delivers the results that are in the journal and renews the leases of what is open, until it is dropped. What is not
/// delivered by then is delivered by whoever comes next: the journal has it.
pub(super) async fn keep_in_touch(
    settings: &Settings,
    transport: &Arc<dyn Transport>,
    journal: &Journal,
) -> Infallible {
    let mut tasks = JoinSet::new();
    let reporter = spawn_reporter(&mut tasks, transport, journal, settings, &Arc::default());
    for entry in journal.entries() {
        let assignment = &entry.assignment;
        match (entry.phase(), &entry.result) {
            (Phase::Finished, Some(report)) => {
                info!(
                    workflow = %assignment.workflow, action = %assignment.name, state = %report.state,
                    "reporting a result of an earlier life of the worker"
                );
                drop(reporter.result(entry.id, assignment, report).await);
            }
            (Phase::Attempted | Phase::Started | Phase::Ended, _) if assignment.lease_s > 0 => {
                tasks.spawn(lease::keep(Arc::clone(transport), Arc::clone(assignment), true));
            }
            _ => {}
        }
    }
    std::future::pending().await
}
