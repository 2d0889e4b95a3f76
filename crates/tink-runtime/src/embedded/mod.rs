//! The runtime inside this very binary: images from `tink-image`, containers from `tink-oci`, no daemon.
//!
//! ```text
//! <state_dir>/images/                the image store
//! <state_dir>/containers/<id>/       one container: what tink-oci keeps, and identity.json
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
mod translate;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tink_image::{Budget, Registries, Store};
use tink_workflow::ImageRef;

use crate::registry::registry_config;
use crate::{
    ContainerSpec, ExitStatus, HandleRecord, Identity, LogSink, Operation, Options, Progress, PullOutcome, Recovered,
    Runtime, RuntimeError,
};

pub use socket::helper_main_if_asked;

/// The name in [`HandleRecord::runtime`].
const NAME: &str = "embedded";

/// Containers without an engine beside the worker.
pub struct EmbeddedRuntime {
    containers: PathBuf,
    store: Store,
    registries: Registries,
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
        let budget =
            options.image_bytes_max.or_else(|| most_of(&containers)).map_or_else(Budget::unlimited, Budget::bytes);
        let store = Store::open(&options.state_dir.join("images"), budget).map_err(|error| fail(error.chain()))?;
        let registries = Registries::new(registry_config(options)).map_err(|error| fail(error.chain()))?;
        let state_dir = containers.parent().map_or_else(|| options.state_dir.clone(), Path::to_owned);
        let options = Options { state_dir, ..options.clone() };
        Ok(Self { containers, store, registries, options })
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

    /// The state directory of a recorded container; a damaged record must not lead elsewhere.
    fn recorded_dir(&self, record: &HandleRecord, operation: Operation) -> Result<PathBuf, RuntimeError> {
        if Path::new(&record.container).file_name().is_some_and(|name| *name == *record.container) {
            return Ok(self.dir(&record.container));
        }
        Err(RuntimeError::permanent(operation, &record.container, "this is no container id"))
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

#[async_trait]
impl Runtime for EmbeddedRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn pull(&self, image: &ImageRef, progress: &Progress) -> Result<PullOutcome, RuntimeError> {
        self.pull_image(image, progress).await
    }

    async fn import_archive(&self, archive: &Path) -> Result<Vec<String>, RuntimeError> {
        Ok(self.import(archive, None).await?.iter().map(ImageRef::to_string).collect())
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        self.start_container(spec).await
    }

    async fn recover(&self, record: &HandleRecord) -> Result<Recovered, RuntimeError> {
        self.recover_container(record)
    }

    async fn find(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        self.find_container(identity)
    }

    async fn wait(&self, record: &HandleRecord) -> Result<ExitStatus, RuntimeError> {
        self.wait_for_end(record).await
    }

    async fn logs(&self, record: &HandleRecord, skip: u64, sink: &mut dyn LogSink) -> Result<(), RuntimeError> {
        self.deliver_logs(record, skip, sink).await
    }

    async fn stop(&self, record: &HandleRecord, grace: Duration) -> Result<(), RuntimeError> {
        self.stop_container(record, grace).await
    }

    async fn remove(&self, record: &HandleRecord) -> Result<(), RuntimeError> {
        self.remove_container(record).await
    }
}

/// Three quarters of the file system, which is often memory and has other things to hold. Nothing where it has no size.
fn most_of(dir: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(dir).ok()?;
    let bytes = system.f_blocks.saturating_mul(system.f_frsize);
    (bytes > 0).then_some(bytes / 4 * 3)
}

/// The error and its causes in one line: the layers below name the step in one and the reason in the next.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
