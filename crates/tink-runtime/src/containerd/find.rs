//! Finding containers again.

use std::path::PathBuf;

use super::ContainerdRuntime;
use super::data_root::may_have_run;
use super::names::{container_id, record};
use super::task::{Life, Seen};
use crate::{HandleRecord, Identity, Operation, Recovered, RuntimeError};

impl ContainerdRuntime {
    pub(super) async fn recover_container(&self, record: &HandleRecord) -> Result<Recovered, RuntimeError> {
        let seen = self.look(&record.container).await;
        let seen = seen.map_err(|failure| failure.into_error(Operation::Recover, &record.container))?;
        Ok(match seen.filter(|seen| !seen.is_kept()).map(|seen| seen.life) {
            Some(Life::Running) => Recovered::Running,
            Some(Life::Ended(status)) => Recovered::Exited(status),
            // There is a record only of what was started: containerd forgot that it was.
            None | Some(Life::Created | Life::Untold) => Recovered::Gone,
        })
    }

    pub(super) async fn find_container(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        let seen = self.look(&container_id(identity)).await;
        let seen = seen.map_err(|failure| failure.into_error(Operation::Recover, identity.container_name()))?;
        // One that did not get as far as its program is nothing to wait for; where nobody knows, it counts as run.
        let may_run = |seen: &Seen| match seen.life {
            Life::Created => false,
            Life::Untold => may_have_run(&self.data_root.dir(&seen.container.id)),
            Life::Running | Life::Ended(_) => true,
        };
        let started = seen.filter(|seen| is_this_run(seen, identity) && may_run(seen));
        Ok(started.map(|_| record(identity)))
    }

    /// The directory of a recorded container.
    pub(super) fn recorded_dir(&self, record: &HandleRecord, operation: Operation) -> Result<PathBuf, RuntimeError> {
        record.directory_name(operation).map(|name| self.data_root.dir(name))
    }
}

/// The worker's id and the action's name are left out: one that was given another name takes up what it began.
pub(super) fn is_this_run(seen: &Seen, identity: &Identity) -> bool {
    let names = ["org.tinkerbell.worker-id", "org.tinkerbell.action-name"];
    let labels = identity.labels();
    let mut ours = labels.iter().filter(|(key, _)| !names.contains(key));
    !seen.is_kept() && ours.all(|(key, value)| seen.container.labels.get(*key) == Some(value))
}
