//! Ending a container.

use std::time::Duration;

use bollard::query_parameters::{KillContainerOptions, StopContainerOptions};
use tokio::time::Instant;

use super::DockerRuntime;
use super::call::{Failure, SHORT, call};
use super::state::Life;
use crate::{HandleRecord, Operation, RuntimeError};

const LOOK_INTERVAL: Duration = Duration::from_millis(100);

impl DockerRuntime {
    /// `docker stop`: SIGTERM (or the image's own stop signal), and SIGKILL after `grace`, which docker counts in whole
    /// seconds. A daemon that does not get it done is told once more to kill.
    pub(super) async fn stop_container(&self, record: &HandleRecord, grace: Duration) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let options = StopContainerOptions { t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)), signal: None };
        let deadline = Duration::from_secs(seconds).saturating_add(SHORT);
        let stopped = call(deadline, self.client.stop_container(container, Some(options))).await;
        match stopped {
            Ok(()) => return Ok(()),
            Err(failure) if failure.has_status(404) => return Ok(()),
            Err(failure) => {
                tracing::warn!(container, reason = failure.message, "docker could not stop the container, killing it");
            }
        }
        self.kill_container(container).await.map_err(|failure| failure.into_error(Operation::Stop, container))
    }

    async fn kill_container(&self, container: &str) -> Result<(), Failure> {
        let options = KillContainerOptions { signal: "SIGKILL".to_owned() };
        let killed = call(SHORT, self.client.kill_container(container, Some(options))).await;
        let give_up = Instant::now() + SHORT;
        loop {
            match self.inspect(container).await? {
                Some(seen) if seen.life == Life::Running => {}
                _ => return Ok(()),
            }
            if Instant::now() >= give_up {
                return Err(match killed {
                    Err(failure) => failure,
                    Ok(()) => Failure::unreachable("its processes were killed, but do not end (stuck in the kernel?)"),
                });
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}
