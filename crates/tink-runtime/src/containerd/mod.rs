//! containerd, through its socket (1.5 and later; nothing of the transfer service is needed).
//!
//! ```text
//! <data root>/<hash of the socket>/containers/<namespace>/<id>/     what `nerdctl` looks for
//!     <id>-json.log, <id>-json.log.1    the output, a JSON object a line, numbered
//!     log-config.json, hostname, hosts, resolv.conf
//!     logger-lock                       locked by the logger for as long as it lives
//! ```
//!
//! Images are resolved and fetched by `tink-image` (credentials, `hosts.toml`, proxies) and unpacked by containerd. Its
//! shim starts *this binary* again as the logger of a container: a process that outlives the worker, so that no
//! line is lost while there is none. Exits are kept by the shim until the container is removed. Whoever uses this must
//! call [`crate::helper_main_if_asked`] first thing in `main`.
//!
//! A container's id is made from its identity, so that it is found again by that alone.
//!
//! Limits: networks are the host's (also for `bridge` and `default`) or none; PID namespaces are the host's or private;
//! named volumes do not exist; a death by signal is told only as the exit code 128 + n; bytes that are no UTF-8 are
//! shown replaced by `nerdctl logs`; the log keeps the newest 16 MiB, at the least. Host paths are containerd's: a worker
//! in a container of its own has to see the data root under the same path.

mod archive;
mod call;
mod connect;
mod content;
mod data_root;
mod find;
mod host;
mod image;
mod kept;
mod layers;
mod lease;
mod logger;
mod logs;
mod names;
mod oom;
mod pull;
mod record;
mod remove;
mod spec;
mod start;
mod stop;
mod task;
mod user;
mod wait;

use std::fmt;
use std::path::PathBuf;

use tink_image::Registries;
use tonic::transport::Channel;

pub(crate) use logger::logger_main_if_asked;

use crate::runtime::runtime_of_verbs;
use data_root::DataRoot;

/// Where containerd listens unless told otherwise.
pub const DEFAULT_CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The namespace that containers and images are kept in unless told otherwise: upstream's.
pub const DEFAULT_CONTAINERD_NAMESPACE: &str = "tinkerbell";
/// Where `nerdctl` looks for logs unless told otherwise.
pub const DEFAULT_CONTAINERD_DATA_ROOT: &str = "/var/lib/nerdctl";

/// The name in [`HandleRecord::runtime`].
const NAME: &str = "containerd";

/// A containerd behind a socket.
pub struct ContainerdRuntime {
    channel: Channel,
    socket: PathBuf,
    namespace: String,
    /// Such as `1.6.20`.
    version: String,
    /// Such as `overlayfs`.
    snapshotter: String,
    data_root: DataRoot,
    registries: Registries,
    daemon: host::Daemon,
}

impl ContainerdRuntime {
    /// The daemon's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The namespace that everything is kept in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl fmt::Debug for ContainerdRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerdRuntime")
            .field("socket", &self.socket)
            .field("namespace", &self.namespace)
            .field("version", &self.version)
            .field("snapshotter", &self.snapshotter)
            .finish_non_exhaustive()
    }
}

runtime_of_verbs!(ContainerdRuntime, NAME);
