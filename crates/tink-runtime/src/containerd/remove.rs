//! Removing a container: its processes, its task, its snapshot, its record and its files.

use super::ContainerdRuntime;
use super::call::{Failure, LONG, SHORT, call, or_none};
use super::data_root::remove_dir;
use super::task::Life;
use crate::{HandleRecord, Operation, RuntimeError};
use tink_containerd::services::containers::v1::DeleteContainerRequest;
use tink_containerd::services::tasks::v1::DeleteTaskRequest;

impl ContainerdRuntime {
    pub(super) async fn remove_container(&self, record: &HandleRecord) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        self.recorded_dir(record, Operation::Remove)?;
        let fail = |failure: Failure| failure.into_error(Operation::Remove, container);
        let seen = self.look(container).await.map_err(fail)?;
        let Some(seen) = seen.filter(|seen| !seen.is_kept()) else {
            // Kept is gone, for whoever asks; a record without a container has at most files.
            return Ok(());
        };
        let failed = matches!(&seen.life, Life::Ended(status) if !status.success());
        self.remove_task(container).await.map_err(fail)?;
        self.remove_snapshot(container).await.map_err(fail)?;
        if failed {
            self.keep(seen.container).await.map_err(fail)
        } else {
            self.remove_rest(container).await.map_err(fail)
        }
    }

    /// All of it, whatever state it is in. Ok when it is gone, whoever removed it.
    pub(super) async fn remove_whole(&self, id: &str) -> Result<(), Failure> {
        self.remove_task(id).await?;
        self.remove_snapshot(id).await?;
        self.remove_rest(id).await
    }

    /// Ends what runs, and lets the shim go.
    async fn remove_task(&self, id: &str) -> Result<(), Failure> {
        let delete = || async {
            let request = self.request(DeleteTaskRequest { container_id: id.to_owned() });
            or_none(call(LONG, self.tasks().delete(request)).await)
        };
        match delete().await {
            // It runs; which code says so differs between versions.
            Err(failure) if !failure.is_unreachable() => {}
            deleted => return deleted.map(drop),
        }
        self.kill_everything(id).await?;
        delete().await.map(drop)
    }

    /// The files and the record in containerd, in this order: the record is what they are found by.
    pub(super) async fn remove_rest(&self, id: &str) -> Result<(), Failure> {
        let dir = self.data_root.dir(id);
        remove_dir(&dir).map_err(|error| {
            Failure::unreachable(format!("its directory {} cannot be removed: {error}", dir.display()))
        })?;
        let request = self.request(DeleteContainerRequest { id: id.to_owned() });
        or_none(call(SHORT, self.containers().delete(request)).await).map(drop)
    }
}
