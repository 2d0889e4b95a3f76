//! Docker, and what speaks its API (podman), through the engine's socket.
//!
//! Every call has a deadline of its own. A daemon that is away or hangs is a transient error; `wait` and `logs` sit out
//! a restart of the daemon of up to a minute by themselves.
//!
//! Limits, all of them Docker's: a death by signal is told only as the exit code 128 + n, see [`state`]. The `json-file`
//! log driver keeps a line back until it ends in a newline or has 16 KiB, also where carriage returns cut it (a progress
//! bar without a terminal comes late), and replaces bytes that are no UTF-8. Of a line that is longer than all that the
//! log keeps, and of what was pushed out of the log unread, the rest is not delivered.

mod attach;
mod call;
mod connect;
mod create;
mod created;
mod delivery;
mod entry;
mod import;
mod inspect;
mod log_bound;
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

use bollard::Docker;
use bollard::models::HostConfigLogConfig;
use tokio::sync::{Mutex, OnceCell};

use crate::RegistryCredentials;
use crate::runtime::runtime_of_verbs;

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
    /// What bounds the logs of containers, once the daemon was asked.
    log_bound: OnceCell<Option<HostConfigLogConfig>>,
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

runtime_of_verbs!(DockerRuntime, NAME);
