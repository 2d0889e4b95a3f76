//! Starting a container, and what to do when its directory is taken.

use std::path::Path;

use tink_image::Image;
use tink_oci::{LaunchError, Spec, Status};

use super::find::{Owner, record};
use super::image::pull_error;
use super::translate::{container_id, translate};
use super::{EmbeddedRuntime, chain};
use crate::{ContainerSpec, HandleRecord, Identity, Operation, RuntimeError};

impl EmbeddedRuntime {
    pub(super) async fn start_container(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        let name = spec.identity.container_name();
        let id = container_id(&name);
        let dir = self.dir(&id);
        let image = self.image(spec, &name).await?;
        let wanted = translate(spec, &id, &dir, image.layers, &image.config.config)
            .map_err(|reason| RuntimeError::permanent(Operation::Start, &name, reason))?;
        if spec.tty {
            tracing::debug!(container = name, "the embedded runtime gives no terminal; the program gets pipes");
        }
        if self.settle_clash(&spec.identity, &name, &dir).await? {
            return Ok(record(id, &spec.identity));
        }
        let owner = Owner { identity: spec.identity.clone() };
        claim(&dir, &owner)
            .map_err(|error| RuntimeError::transient(Operation::Start, &name, format!("{}: {error}", dir.display())))?;
        self.launch(wanted, &name).await?;
        // The shim holds the layers by now, for as long as the container runs.
        drop(image.guard);
        Ok(record(id, &spec.identity))
    }

    async fn image(&self, spec: &ContainerSpec, name: &str) -> Result<Image, RuntimeError> {
        let (store, image) = (self.store.clone(), spec.image.clone());
        let found = tokio::task::spawn_blocking(move || store.get(&image)).await;
        let found = found.map_err(|error| RuntimeError::transient(Operation::Start, name, error.to_string()))?;
        let found = found.map_err(|error| pull_error(&spec.image, &error))?;
        found.ok_or_else(|| {
            let reason = format!("the image {} is not here; it was dropped after the pull", spec.image);
            RuntimeError::permanent(Operation::Start, name, reason)
        })
    }

    async fn launch(&self, wanted: Spec, name: &str) -> Result<(), RuntimeError> {
        let dir = wanted.dir.clone();
        let error = match tink_oci::launch(wanted).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if !matches!(error, LaunchError::Interrupted { .. })
            && let Err(error) = tink_oci::remove(&dir).await
        {
            tracing::warn!(container = name, reason = chain(&error), "a container that did not start stays behind");
        }
        Err(start_error(&error, name))
    }

    /// Whether this very run is running already. Else the directory is free when this returns.
    async fn settle_clash(&self, identity: &Identity, name: &str, dir: &Path) -> Result<bool, RuntimeError> {
        if !dir.exists() {
            return Ok(false);
        }
        let status = tink_oci::status(dir);
        if matches!(status, Ok(Status::Running(_) | Status::Starting)) {
            if Owner::read(dir).is_some_and(|owner| owner.is(identity)) {
                tracing::info!(container = name, "the action's container is running already, taken up");
                return Ok(true);
            }
            let reason = format!("a container of somebody else runs in {}; stop it first", dir.display());
            return Err(RuntimeError::permanent(Operation::Start, name, reason));
        }
        tracing::info!(container = name, "removing what is left of an earlier run of the action");
        let removed = tink_oci::remove(dir).await;
        removed.map_err(|error| RuntimeError::transient(Operation::Start, name, chain(&error)))?;
        Ok(false)
    }
}

/// Makes the state directory and says whose it is, before anything runs in it.
fn claim(dir: &Path, owner: &Owner) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(dir)?;
    owner.write(dir)
}

fn start_error(error: &LaunchError, name: &str) -> RuntimeError {
    match error {
        LaunchError::Spec(_) | LaunchError::Start(_) => RuntimeError::permanent(Operation::Start, name, chain(error)),
        LaunchError::State { .. }
        | LaunchError::Exists { .. }
        | LaunchError::Spawn { .. }
        | LaunchError::Silent { .. }
        | LaunchError::Handshake { .. }
        | LaunchError::Interrupted { .. } => RuntimeError::transient(Operation::Start, name, chain(error)),
    }
}
