//! Ending a container.

use std::time::Duration;

use super::ContainerdRuntime;
use super::call::{Failure, SHORT};
use super::task::Life;
use crate::{HandleRecord, Operation, RuntimeError};

const SIGTERM: u32 = 15;
const SIGKILL: u32 = 9;

impl ContainerdRuntime {
    /// SIGTERM to the program; after `grace`, SIGKILL to everything in the container's cgroup.
    pub(super) async fn stop_container(&self, record: &HandleRecord, grace: Duration) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        let stopped = async {
            match self.look(container).await? {
                Some(seen) if seen.life == Life::Running => {}
                _ => return Ok(()),
            }
            if !grace.is_zero() {
                self.kill(container, SIGTERM, false).await?;
                if self.ended_within(container, grace).await? {
                    return Ok(());
                }
            }
            self.kill_everything(container).await
        };
        let stopped: Result<(), Failure> = stopped.await;
        stopped.map_err(|failure| failure.into_error(Operation::Stop, container))
    }

    /// Ok when nothing runs any more.
    pub(super) async fn kill_everything(&self, container: &str) -> Result<(), Failure> {
        self.kill(container, SIGKILL, true).await?;
        if self.ended_within(container, SHORT).await? {
            return Ok(());
        }
        Err(Failure::unreachable("its processes were killed, but do not end (stuck in the kernel?)"))
    }
}
