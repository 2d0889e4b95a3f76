//! Containers that outlive the action that started them.
//!
//! No action waits for them and no worker removes them: they are listed by `tink ps`, and go by `tink rm`, by a reboot of
//! a machine whose disk is memory, or when newer ones need their place: of those that ended the newest
//! [`ENDED_KEPT`] are kept, each with a log of at most [`LOG_BYTES_MAX`]; at most [`RUNNING_MAX`] run.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tink_oci::{LogLimits, Status};
use tink_workflow::ImageRef;

use super::find::Owner;
use super::{EmbeddedRuntime, chain};
use crate::{ContainerSpec, Operation, Purpose, RuntimeError};

/// In the ids of all of them, before a number.
const MARK: &str = "_detached-";
/// What may stand before it, so that an id stays one.
const STEM_BYTES_MAX: usize = 110;
const RUNNING_MAX: usize = 16;
const ENDED_KEPT: usize = 4;
const LOG_BYTES_MAX: u64 = 1024 * 1024;
/// Created and not started yet is not left behind.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// A detached container was not created.
#[derive(Debug, thiserror::Error)]
pub(super) enum DetachError {
    #[error("{RUNNING_MAX} detached containers run already, the first of them {first}; `tink rm --force` ends one")]
    TooMany { first: String },
    #[error("failed to make a directory for the container in {containers:?}: {source}")]
    State { containers: PathBuf, source: std::io::Error },
}

impl EmbeddedRuntime {
    /// Takes an id for the container and writes down what it is. Answers with the id.
    pub(super) async fn create_detached(&self, spec: ContainerSpec) -> Result<String, DetachError> {
        self.prune_detached().await;
        let running = self.detached().into_iter().filter(|(_, dir)| is_running(dir)).map(|(id, _)| id);
        let running: Vec<String> = running.collect();
        if let (true, Some(first)) = (running.len() >= RUNNING_MAX, running.first()) {
            return Err(DetachError::TooMany { first: first.clone() });
        }
        let stem = spec.identity.container_name();
        let stem = stem.strip_suffix("_detached").unwrap_or(&stem);
        let stem = stem.get(stem.len().saturating_sub(STEM_BYTES_MAX)..).unwrap_or_default();
        let stem = stem.trim_start_matches('.');
        let owner = Owner { identity: spec.identity.clone(), container: Some(spec) };
        let mut number = 1_u32;
        loop {
            let id = format!("{stem}{MARK}{number}");
            match super::start::claim(&self.dir(&id), &owner) {
                Ok(()) => return Ok(id),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(DetachError::State { containers: self.containers.clone(), source }),
            }
        }
    }

    /// Starts a container that was created; whether it did not run before. `images` are kept for what it starts itself.
    pub(super) async fn start_detached(&self, id: &str, images: Vec<ImageRef>) -> Result<bool, RuntimeError> {
        let dir = self.dir(id);
        let fail = |reason: &str| RuntimeError::permanent(Operation::Start, id, reason);
        let owner = Owner::read(&dir).ok_or_else(|| fail("it was not created"))?;
        let (Purpose::Detached, Some(spec)) = (owner.identity.purpose, owner.container) else {
            return Err(fail("it is an action's, which the worker starts"));
        };
        match tink_oci::status(&dir) {
            Ok(Status::Gone) => {}
            Ok(Status::Starting | Status::Running(_)) => return Ok(false),
            Ok(Status::Exited(_)) => return Err(fail("it has run; create another one")),
            Err(error) => return Err(RuntimeError::transient(Operation::Start, id, chain(&error))),
        }
        let mut prepared = self.prepare(&spec, id, &dir).await?;
        prepared.wanted.log = LogLimits { bytes_max: LOG_BYTES_MAX };
        // Without an effect where another start of it was quicker.
        self.run(prepared, id, images).await
    }

    /// Removes detached containers that ended long ago. One that cannot be removed is named in the log.
    pub(super) async fn prune_detached(&self) {
        let mut ended: Vec<(SystemTime, PathBuf)> = Vec::new();
        for (_, dir) in self.detached() {
            let Ok(made) = dir.metadata().and_then(|meta| meta.modified()) else { continue };
            let is_young = made.elapsed().is_ok_and(|age| age < START_PATIENCE);
            match tink_oci::status(&dir) {
                Ok(Status::Exited(_)) => ended.push((made, dir)),
                Ok(Status::Gone) if !is_young => ended.push((made, dir)),
                Ok(Status::Gone | Status::Starting | Status::Running(_)) | Err(_) => {}
            }
        }
        ended.sort();
        let surplus = ended.len().saturating_sub(ENDED_KEPT);
        for (_, dir) in ended.into_iter().take(surplus) {
            if let Err(error) = tink_oci::remove(&dir).await {
                tracing::warn!(dir = %dir.display(), reason = chain(&error), "a detached container stays behind");
            }
        }
    }

    /// Id and state directory of each.
    fn detached(&self) -> Vec<(String, PathBuf)> {
        let entries = std::fs::read_dir(&self.containers).into_iter().flatten().flatten();
        let mut found: Vec<(String, PathBuf)> = entries
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
            .filter(|(id, _)| is_detached(id))
            .collect();
        found.sort();
        found
    }
}

/// Whether the id is that of a detached container.
pub(super) fn is_detached(id: &str) -> bool {
    id.contains(MARK)
}

fn is_running(dir: &Path) -> bool {
    matches!(tink_oci::status(dir), Ok(Status::Running(_) | Status::Starting))
}
