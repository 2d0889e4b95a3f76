//! How an action becomes a container: the [`Runtime`] trait and one module per container engine.
//!
//! [`ContainerSpec`] says once what an action means; each engine translates it. What must be stored to find a
//! container again after a crash of the worker is its [`HandleRecord`]; every call takes the record, none a live handle.

mod archives;
mod call;
mod containerd;
mod credentials;
mod docker;
mod embedded;
mod error;
mod exit_code;
mod helper_main;
mod lines;
mod log;
mod progress;
mod registry;
mod runtime;
mod select;
mod spec;
mod wanted;

/// Threads that may block, for a program that pulls images. A pull has one for each layer it unpacks, of which there are up to
/// 16 at a time, and another pull may wait for as many; the rest is for name lookups and files. They are started when needed,
/// and end when idle.
pub const BLOCKING_THREADS: usize = 64;

pub use archives::image_archives;
pub use containerd::{
    ContainerdRuntime, DEFAULT_CONTAINERD_DATA_ROOT, DEFAULT_CONTAINERD_NAMESPACE, DEFAULT_CONTAINERD_SOCKET,
};
pub use credentials::RegistryCredentials;
pub use docker::{DEFAULT_DOCKER_SOCKET, DockerRuntime};
pub use embedded::EmbeddedRuntime;
pub use error::{Operation, RuntimeError};
pub use helper_main::helper_main_if_asked;
pub use lines::LINE_BYTES_MAX;
pub use log::{LogPosition, LogSink, NoLogPosition, OutputStream};
pub use progress::{LayerProgress, LayerState, Progress, PullProgress};
pub use runtime::{ExitCause, ExitStatus, HandleRecord, PullOutcome, Recovered, Runtime};
pub use select::{Options, RuntimeChoice, SelectError, Selected, UnknownRuntime, select};
pub use spec::{ContainerSpec, Identity, Purpose};
pub use tink_image::Secret;
pub use tink_oci::{keep_if_first_process, start_forker};
