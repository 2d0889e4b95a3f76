//! The layers of running containers stay in the store: each is held by a shared lock, which the store honours.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::PoisonError;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use tink_image::InUse;

use super::EmbeddedRuntime;
use super::find::Owner;

/// Layers that are in use; dropped, they are free.
#[derive(Debug)]
pub(super) enum Layers {
    /// From the store, since the container was started by this process.
    Taken { _guard: InUse },
    /// Locked again by a process that found the container running.
    Locked { _directories: Vec<OwnedFd> },
}

impl EmbeddedRuntime {
    pub(super) fn hold(&self, container: &str, layers: Layers) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(container.to_owned(), layers);
    }

    pub(super) fn release(&self, container: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
    }

    /// Takes hold of the layers of containers that an earlier life of the worker started.
    pub(super) fn hold_what_runs(&self) {
        let Ok(entries) = std::fs::read_dir(&self.containers) else { return };
        for entry in entries.flatten() {
            let running = matches!(
                tink_oci::status(&entry.path()),
                Ok(tink_oci::Status::Running(_) | tink_oci::Status::Starting)
            );
            if let (true, Some(owner), Ok(id)) = (running, Owner::read(&entry.path()), entry.file_name().into_string())
            {
                self.hold(&id, Layers::Locked { _directories: lock(&owner.layers) });
            }
        }
    }
}

/// A layer that cannot be locked is left out: the container runs on whatever the store does.
fn lock(layers: &[PathBuf]) -> Vec<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let locked = layers.iter().filter_map(|layer| {
        let directory = open(layer, flags, Mode::empty()).ok()?;
        flock(&directory, FlockOperation::NonBlockingLockShared).ok()?;
        Some(directory)
    });
    locked.collect()
}
