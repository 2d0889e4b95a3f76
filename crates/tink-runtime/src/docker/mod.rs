//! Docker, and what speaks its API (podman), through the engine's socket.
//!
//! Every call has a deadline of its own. A daemon that is away or hangs is a transient error; `wait` and `logs` sit out
//! a restart of the daemon of up to a minute by themselves.
//!
//! Limits, all of them Docker's: a death by signal is told only as the exit code 128 + n, see [`state`]. The `json-file`
//! log driver keeps a line back until it ends in a newline or has 16 KiB, also where carriage returns cut it (a progress
//! bar without a terminal comes late), and replaces bytes that are no UTF-8. Lines are counted from the start of what
//! the log driver still has: with a rotating log (`max-size`) that started over, a count from before is off.

mod attach;
mod call;
mod connect;
mod create;
mod created;
mod import;
mod inspect;
mod logs;
mod output;
mod pull;
mod pull_error;
mod pull_progress;
mod remove;
mod start;
mod state;
mod stop;
mod wait;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use tink_workflow::ImageRef;
use tokio::sync::Mutex;

use crate::{
    ContainerSpec, ExitStatus, HandleRecord, Identity, LogSink, Progress, PullOutcome, Recovered, RegistryCredentials,
    Runtime, RuntimeError,
};

/// Where dockerd listens unless told otherwise.
pub const DEFAULT_DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// The name in [`HandleRecord::runtime`].
const NAME: &str = "docker";

/// A Docker daemon behind a socket.
pub struct DockerRuntime {
    client: Docker,
    socket: PathBuf,
    credentials: Vec<RegistryCredentials>,
    /// Outputs that were attached to before their containers started, for log drivers that cannot be read.
    attached: Mutex<HashMap<String, output::Output>>,
}

impl DockerRuntime {
    /// Where the daemon listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The version of the engine API that both sides speak, such as `1.41`.
    #[must_use]
    pub fn api_version(&self) -> String {
        let version = self.client.client_version();
        format!("{}.{}", version.major_version, version.minor_version)
    }
}

impl fmt::Debug for DockerRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerRuntime")
            .field("socket", &self.socket)
            .field("api_version", &self.api_version())
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn pull(&self, image: &ImageRef, progress: &Progress) -> Result<PullOutcome, RuntimeError> {
        self.pull_or_local(image, progress).await
    }

    async fn import_archive(&self, archive: &Path) -> Result<Vec<String>, RuntimeError> {
        self.import_file(archive).await
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        self.create_and_start(spec).await
    }

    async fn recover(&self, record: &HandleRecord) -> Result<Recovered, RuntimeError> {
        self.recover_container(record).await
    }

    async fn find(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        self.find_container(identity).await
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
