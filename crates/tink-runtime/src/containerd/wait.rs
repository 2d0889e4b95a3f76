//! Waiting for a container's end.

use std::time::Duration;

use super::ContainerdRuntime;
use super::task::Life;
use crate::{ExitStatus, HandleRecord, Operation, RuntimeError};

/// How often the container is looked at beside the call that waits: a daemon that restarts may lose the call.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Between two looks when the waiting call returns at once and the container still runs.
const PAUSE: Duration = Duration::from_millis(200);

impl ContainerdRuntime {
    pub(super) async fn wait_for_end(&self, record: &HandleRecord) -> Result<ExitStatus, RuntimeError> {
        let container = record.container.as_str();
        let permanent = |reason: &str| Err(RuntimeError::permanent(Operation::Wait, container, reason));
        loop {
            let seen = self.look_patiently(container).await;
            let seen = seen.map_err(|failure| failure.into_error(Operation::Wait, container))?;
            match seen.filter(|seen| !seen.is_kept()).map(|seen| seen.life) {
                Some(Life::Ended(status)) => return Ok(status),
                Some(Life::Running) => {
                    if !matches!(self.ended_within(container, LOOK_INTERVAL).await, Ok(true)) {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                None => return permanent("it is gone: somebody removed it, and how it ended is not known"),
                Some(Life::Created | Life::Untold) => {
                    return permanent("containerd lost what it ran (a reboot, or its shim was killed)");
                }
            }
        }
    }
}
