//! Starting a container, and what to do when its directory is taken.

use std::path::Path;

use tink_image::Image;
use tink_oci::{Claim, LaunchError, Spec, Status};
use tink_workflow::ImageRef;

use super::find::{Owner, record};
use super::socket::{self, Setup};
use super::translate::{container_id, translate};
use super::{EmbeddedRuntime, chain};
use crate::registry::{failure, pull_error};
use crate::{ContainerSpec, HandleRecord, Identity, Operation, RuntimeError};

/// A container that is ready to be launched.
pub(super) struct Prepared {
    pub(super) wanted: Spec,
    /// Whether it is given an engine's socket of ours.
    has_socket: bool,
    /// Keeps the layers until the shim holds them.
    image: Image,
}

impl EmbeddedRuntime {
    pub(super) async fn start_container(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        let name = spec.identity.container_name();
        let id = container_id(&name);
        let dir = self.dir(&id);
        let prepared = self.prepare(spec, &id, &dir).await?;
        if self.settle_clash(&spec.identity, &name, &dir).await? {
            return Ok(record(id, &spec.identity));
        }
        let owner = Owner { identity: spec.identity.clone(), container: Some(resolved(spec, &prepared)) };
        claim(&dir, &owner)
            .map_err(|error| RuntimeError::transient(Operation::Start, &name, format!("{}: {error}", dir.display())))?;
        if !self.run(prepared, &name, Vec::new()).await? {
            let reason = "another start of it is under way".to_owned();
            return Err(RuntimeError::transient(Operation::Start, &name, reason));
        }
        Ok(record(id, &spec.identity))
    }

    /// Makes of what an action says what is launched.
    pub(super) async fn prepare(&self, spec: &ContainerSpec, id: &str, dir: &Path) -> Result<Prepared, RuntimeError> {
        let name = spec.identity.container_name();
        let image = self.image(spec, &name).await?;
        let mut wanted = translate(spec, id, dir, image.layers.clone(), &image.config.config)
            .map_err(|reason| RuntimeError::permanent(Operation::Start, &name, reason))?;
        wanted.stand_ins = Some(self.options.state_dir.join("volumes"));
        let has_socket = socket::place(&mut wanted, &self.options.docker_socket).await;
        Ok(Prepared { wanted, has_socket, image })
    }

    async fn image(&self, spec: &ContainerSpec, name: &str) -> Result<Image, RuntimeError> {
        let (store, image) = (self.store.clone(), spec.image.clone());
        let found = tokio::task::spawn_blocking(move || store.get(&image)).await;
        let found = found.map_err(|error| RuntimeError::transient(Operation::Start, name, error.to_string()))?;
        if let Some(found) = found.map_err(|error| pull_error(&spec.image, &error))? {
            return Ok(found);
        }
        match self.pull_dropped(&spec.image).await {
            Some(pulled) => pulled.map_err(|error| failure(Operation::Start, name, &error)),
            None => {
                let reason = format!("the image {} is not here; pull or import it first", spec.image);
                Err(RuntimeError::permanent(Operation::Start, name, reason))
            }
        }
    }

    /// Launches what is prepared, in its directory; `false` if another launch has that already. `images` are kept by the
    /// server of its socket, if it has one.
    pub(super) async fn run(
        &self,
        prepared: Prepared,
        name: &str,
        images: Vec<ImageRef>,
    ) -> Result<bool, RuntimeError> {
        let Prepared { wanted, has_socket, image } = prepared;
        let (dir, id) = (wanted.dir.clone(), wanted.id.clone());
        let claim = match Claim::take(wanted) {
            Ok(claim) => claim,
            // What runs there is not ours to remove.
            Err(LaunchError::Exists { .. }) => return Ok(false),
            Err(error) => {
                self.remove_unstarted(&dir, name).await;
                return Err(start_error(&error, name));
            }
        };
        let serving = if has_socket {
            match socket::start(&dir, Setup::new(&id, images, &self.options)).await {
                Ok(serving) => Some(serving),
                Err(error) => {
                    drop(claim);
                    self.remove_unstarted(&dir, name).await;
                    let reason = format!("the engine's socket cannot be served to it: {error}");
                    return Err(RuntimeError::transient(Operation::Start, name, reason));
                }
            }
        } else {
            None
        };
        let launched = claim.launch().await;
        // The server of the socket looks after the container from now on.
        drop(serving);
        // The shim holds the layers by now, for as long as the container runs.
        drop(image);
        let error = match launched {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        if !matches!(error, LaunchError::Interrupted { .. }) {
            self.remove_unstarted(&dir, name).await;
        }
        Err(start_error(&error, name))
    }

    async fn remove_unstarted(&self, dir: &Path, name: &str) {
        if let Err(error) = tink_oci::remove(dir).await {
            tracing::warn!(container = name, reason = chain(&error), "a container that did not start stays behind");
        }
    }

    /// Whether this very run is running already. Else the directory is free when this returns.
    async fn settle_clash(&self, identity: &Identity, name: &str, dir: &Path) -> Result<bool, RuntimeError> {
        if !dir.exists() {
            return Ok(false);
        }
        let status = tink_oci::status(dir);
        if matches!(status, Ok(Status::Running(_) | Status::Starting)) {
            if Owner::read(dir).is_some_and(|owner| owner.identity.is_same_run(identity)) {
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
pub(super) fn claim(dir: &Path, owner: &Owner) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if let Some(all) = dir.parent() {
        // Gone where the state directory was unmounted or removed under us.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(all)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(dir)?;
    owner.write(dir)
}

/// What runs, as it was asked for, with what the image adds: what a program in the container is told about itself.
fn resolved(spec: &ContainerSpec, prepared: &Prepared) -> ContainerSpec {
    let config = &prepared.image.config.config;
    let command = if spec.command.is_empty() { config.cmd.clone() } else { spec.command.clone() };
    let mut environment: Vec<String> = Vec::with_capacity(prepared.wanted.env.len());
    let name = |pair: &str| pair.split('=').next().map(str::to_owned);
    for pair in &prepared.wanted.env {
        match environment.iter_mut().find(|earlier| name(earlier) == name(pair)) {
            Some(earlier) => earlier.clone_from(pair),
            None => environment.push(pair.clone()),
        }
    }
    ContainerSpec { command, environment, ..spec.clone() }
}

fn start_error(error: &LaunchError, name: &str) -> RuntimeError {
    match error {
        LaunchError::Start(failure) if failure.may_pass() => {
            RuntimeError::transient(Operation::Start, name, chain(error))
        }
        LaunchError::Spec(_) | LaunchError::Start(_) => RuntimeError::permanent(Operation::Start, name, chain(error)),
        LaunchError::State { .. }
        | LaunchError::Exists { .. }
        | LaunchError::Spawn { .. }
        | LaunchError::Silent { .. }
        | LaunchError::Handshake { .. }
        | LaunchError::Interrupted { .. } => RuntimeError::transient(Operation::Start, name, chain(error)),
    }
}
