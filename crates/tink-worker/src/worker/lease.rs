//! Keeping an action that runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::FIRST_TRY_MAX;
use crate::transport::Transport;
use crate::{Assignment, Report};

/// Says again and again that the action runs, to a server that would give it to another process else. A worker that
/// runs an action has no other call to make, for hours, and a connection that broke is not made anew without one.
pub(super) async fn keep(transport: Arc<dyn Transport>, assignment: Arc<Assignment>, at_once: bool) {
    let every = Duration::from_secs(assignment.lease_s) / 3;
    let report = Report::running(&assignment, "running action");
    let mut wait = if at_once { Duration::ZERO } else { every };
    loop {
        sleep(wait).await;
        // What cannot be reached is tried again sooner; a refusal is met again with the result.
        let heard = timeout(every, transport.renew(&report)).await;
        wait = if matches!(heard, Ok(Ok(()))) { every } else { every.min(FIRST_TRY_MAX) };
    }
}
