//! Removing a container, with its anonymous volumes.

use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptions;
use tokio::time::Instant;

use super::DockerRuntime;
use super::call::{Failure, LONG, call};
use crate::{HandleRecord, Operation, RuntimeError};

const LOOK_INTERVAL: Duration = Duration::from_millis(100);

impl DockerRuntime {
    pub(super) async fn remove_container(&self, record: &HandleRecord) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        self.attached.lock().await.remove(container);
        self.remove_by_id(container).await.map_err(|failure| failure.into_error(Operation::Remove, container))
    }

    /// Ok when it is gone, whoever removed it.
    pub(super) async fn remove_by_id(&self, container: &str) -> Result<(), Failure> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        match call(LONG, self.client.remove_container(container, Some(options))).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.has_status(404) => Ok(()),
            Err(failure) if failure.has_status(409) => self.wait_until_gone(container, failure).await,
            Err(failure) => Err(failure),
        }
    }

    /// Another removal of it is under way.
    async fn wait_until_gone(&self, container: &str, conflict: Failure) -> Result<(), Failure> {
        let give_up = Instant::now() + LONG;
        while Instant::now() < give_up {
            if self.inspect(container).await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Err(conflict)
    }
}
