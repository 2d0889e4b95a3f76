//! The runtime inside this very binary: images from `tink-image`, containers from `tink-oci`, no daemon.
//!
//! ```text
//! <state_dir>/images/                the image store
//! <state_dir>/containers/<id>/       one container: what tink-oci keeps, and identity.json
//! <state_dir>/volumes/<path>/        sources of volumes that the host, whose root is read-only, has no place for
//! ```
//!
//! A container's id is its name, so the same run finds itself again by its identity alone. Whoever uses this must call
//! [`crate::helper_main_if_asked`] first thing in `main`.
//!
//! Limits: networks are the host's (also for `bridge` and `default`, whose purpose is to reach others) or none; PID
//! namespaces are the host's or private; named volumes do not exist. The log keeps the newest 16 MiB. See docs/differences.md.

mod container;
mod detached;
mod find;
mod image;
mod logs;
mod socket;
mod start;
mod sweep;
mod translate;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tink_error::chain;
use tink_image::{Budget, Registries, Store};
use tink_workflow::ImageRef;

use crate::registry::registry_config;
use crate::runtime::runtime_of_verbs;
use crate::{HandleRecord, Operation, Options, RuntimeError};

pub use socket::helper_main_if_asked;

/// The name in [`HandleRecord::runtime`].
pub(crate) const NAME: &str = "embedded";

/// Containers without an engine beside the worker.
pub struct EmbeddedRuntime {
    containers: PathBuf,
    store: Store,
    registries: Registries,
    /// Images that were pulled lately, which a start may pull again; newest last.
    pulled: Mutex<VecDeque<ImageRef>>,
    /// With the state directory as it is found from everywhere.
    options: Options,
}

impl EmbeddedRuntime {
    /// Opens the state directory, making it where it is missing.
    ///
    /// # Errors
    /// Permanent when the directory or the registry settings cannot be used.
    pub fn open(options: &Options) -> Result<Self, RuntimeError> {
        let subject = || format!("in {}", options.state_dir.display());
        let fail = |reason: String| RuntimeError::permanent(Operation::Connect, subject(), reason);
        let containers = options.state_dir.join("containers");
        std::fs::create_dir_all(&containers)
            .map_err(|error| fail(format!("cannot make {}: {error}", containers.display())))?;
        let containers = std::fs::canonicalize(&containers)
            .map_err(|error| fail(format!("cannot find {}: {error}", containers.display())))?;
        // What is in memory as a rule has other things to hold, too.
        let budget = options.image_bytes_max.map_or_else(Budget::most_of_what_is_free, Budget::bytes);
        let store = Store::open(&options.state_dir.join("images"), budget).map_err(|error| fail(error.chain()))?;
        let registries = Registries::new(registry_config(options)).map_err(|error| fail(error.chain()))?;
        let state_dir = containers.parent().map_or_else(|| options.state_dir.clone(), Path::to_owned);
        let options = Options { state_dir, ..options.clone() };
        Ok(Self { containers, store, registries, pulled: Mutex::default(), options })
    }

    /// The image store, for listing and importing.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The state directory of a container.
    fn dir(&self, container: &str) -> PathBuf {
        self.containers.join(container)
    }

    /// The state directory of a recorded container.
    fn recorded_dir(&self, record: &HandleRecord, operation: Operation) -> Result<PathBuf, RuntimeError> {
        record.directory_name(operation).map(|name| self.dir(name))
    }
}

impl fmt::Debug for EmbeddedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedRuntime")
            .field("containers", &self.containers)
            .field("images", &self.store.directory())
            .finish_non_exhaustive()
    }
}

runtime_of_verbs!(
    EmbeddedRuntime,
    NAME,
    async fn settle(&self) {
        self.settle_images().await;
    }
);
