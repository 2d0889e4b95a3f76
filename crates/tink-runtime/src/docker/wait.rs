//! Waiting for a container's end.

use std::pin::pin;
use std::time::Duration;

use bollard::query_parameters::WaitContainerOptions;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::DockerRuntime;
use super::state::Life;
use crate::{ExitStatus, HandleRecord, Operation, RuntimeError};

/// How often the container is looked at beside the call that waits: that call was seen to hang for ever, and a
/// connection may die silently.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Between two looks when the waiting call returns at once and the container still runs.
const PAUSE: Duration = Duration::from_millis(200);

impl DockerRuntime {
    pub(super) async fn wait_for_end(&self, record: &HandleRecord) -> Result<ExitStatus, RuntimeError> {
        let container = record.container.as_str();
        loop {
            let seen = self.inspect_patiently(container).await;
            let seen = seen.map_err(|failure| failure.into_error(Operation::Wait, container))?;
            match seen.map(|seen| seen.life) {
                Some(Life::Ended(status)) => return Ok(status),
                Some(Life::Running) => self.wait_for_change(container).await,
                None | Some(Life::Removing) => {
                    let reason = "it is gone: somebody removed it, and how it ended is not known";
                    return Err(RuntimeError::permanent(Operation::Wait, container, reason));
                }
                Some(Life::Created) => {
                    return Err(RuntimeError::permanent(Operation::Wait, container, "it was never started"));
                }
            }
        }
    }

    /// Returns when the container may have ended. What the call answers does not matter: the look that follows says
    /// more (a non-zero exit code arrives as an error here, and the answer knows neither times nor out-of-memory).
    async fn wait_for_change(&self, container: &str) {
        let begin = Instant::now();
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut answers = pin!(self.client.wait_container(container, Some(options)));
        if tokio::time::timeout(LOOK_INTERVAL, answers.next())
            .await
            .is_ok_and(|answer| answer.is_none_or(|a| a.is_ok()))
        {
            return;
        }
        if begin.elapsed() < PAUSE {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
