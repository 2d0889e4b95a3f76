//! The contract every engine keeps.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tink_workflow::{ImageRef, Timestamp};

use crate::{ContainerSpec, Identity, LogPosition, LogSink, Operation, Progress, RuntimeError};

/// A container engine.
///
/// Every call may be repeated: `pull` of a present image and `remove` of a gone container succeed. Every call has a
/// deadline of its own inside the engine module or ends when the future is dropped; a dropped `wait` leaves the
/// container alone.
#[async_trait]
pub trait Runtime: Send + Sync + fmt::Debug {
    /// `docker`, `containerd` or `embedded`.
    fn name(&self) -> &'static str;

    /// Makes the image present. One try: the caller repeats what is [`RuntimeError::is_retryable`].
    ///
    /// The registry is asked first; where it cannot serve the image and the engine has it, that is a success and the
    /// registry's error is in [`PullOutcome::Local`].
    async fn pull(&self, image: &ImageRef, progress: &Progress) -> Result<PullOutcome, RuntimeError>;

    /// Takes the images of an archive (`docker save`'s form, or an OCI layout in a tar) and answers with their names.
    /// Engines that cannot say so.
    async fn import_archive(&self, archive: &Path, _progress: &Progress) -> Result<Vec<String>, RuntimeError> {
        let reason = format!("the {} runtime takes no archives", self.name());
        Err(RuntimeError::permanent(Operation::Import, archive.display().to_string(), reason))
    }

    /// Makes sure that the images are still there after a power loss. For when nothing is more urgent, as it may keep the
    /// disk busy; without it they are at worst pulled again. Does nothing where the engine does so by itself.
    async fn settle(&self) {}

    /// Creates and starts the container. A leftover of the same name and identity is replaced; one that is not ours is
    /// an error. When this returns, the program has been started or the error says why not.
    async fn start(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError>;

    /// What became of a container that an earlier life of the worker started.
    async fn recover(&self, record: &HandleRecord) -> Result<Recovered, RuntimeError>;

    /// The container of this identity, for a worker that died between creating it and writing its record down.
    async fn find(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError>;

    /// Waits for the end. Works for a container that has ended already.
    async fn wait(&self, record: &HandleRecord) -> Result<ExitStatus, RuntimeError>;

    /// Delivers the container's output to `sink`, from a place on that an earlier call told, until the container has ended
    /// and everything it wrote was delivered.
    ///
    /// The engine's own log is bounded: of what was pushed out of it before it was read nothing is delivered, and what is
    /// left goes on without a repeat.
    async fn logs(&self, record: &HandleRecord, from: LogPosition, sink: &mut dyn LogSink) -> Result<(), RuntimeError>;

    /// SIGTERM, then after `grace` SIGKILL to everything in the container. Ok when it has ended already.
    async fn stop(&self, record: &HandleRecord, grace: Duration) -> Result<(), RuntimeError>;

    /// Removes the container and what it wrote. Ok when already gone.
    async fn remove(&self, record: &HandleRecord) -> Result<(), RuntimeError>;
}

/// How an image came to be present.
#[derive(Debug)]
pub enum PullOutcome {
    /// The registry served it, or confirmed that what is here is current.
    Registry,
    /// The registry could not serve it, for this reason, but the engine has it.
    Local(RuntimeError),
}

/// What must be stored to find a container again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandleRecord {
    /// [`Runtime::name`] of the engine that has it.
    pub runtime: String,
    /// The engine's id of it.
    pub container: String,
    /// Whose run it is.
    pub identity: Identity,
    /// What else the engine needs, for its own module only.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub engine: serde_json::Value,
}

impl HandleRecord {
    /// What is stored of a container of which everything else follows from its id.
    pub(crate) fn of(runtime: &str, container: String, identity: &Identity) -> Self {
        let (runtime, identity) = (runtime.to_owned(), identity.clone());
        Self { runtime, container, identity, engine: serde_json::Value::Null }
    }

    /// The container's id as the name of a directory; a damaged record must not lead elsewhere.
    pub(crate) fn directory_name(&self, operation: Operation) -> Result<&str, RuntimeError> {
        if Path::new(&self.container).file_name().is_some_and(|name| *name == *self.container) {
            return Ok(&self.container);
        }
        Err(RuntimeError::permanent(operation, &self.container, "this is no container id"))
    }
}

/// What became of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// It runs.
    Running,
    /// It ended.
    Exited(ExitStatus),
    /// The engine does not know it: the machine was rebooted, or somebody removed it.
    Gone,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// Exit code or signal.
    pub cause: ExitCause,
    /// Whether the kernel's out-of-memory killer ended it.
    pub oom: bool,
    /// By the engine's clock.
    pub started_at: Option<Timestamp>,
    /// By the engine's clock.
    pub stopped_at: Option<Timestamp>,
}

/// Exit code or signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitCause {
    /// `exit(code)`.
    Code(i32),
    /// Ended by this signal.
    Signal(i32),
}

impl ExitStatus {
    /// Whether the action succeeded: exit code 0, the only result channel actions have.
    #[must_use]
    pub fn success(&self) -> bool {
        self.cause == ExitCause::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            ExitCause::Code(code) => write!(f, "exit code {code}")?,
            ExitCause::Signal(signal) => write!(f, "killed by signal {signal}{}", signal_name(signal))?,
        }
        if self.oom {
            f.write_str(" (out of memory)")?;
        }
        Ok(())
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// Makes a [`Runtime`] of an engine that has each verb as a method of its own, in a file of its own: the methods of a trait
/// have to stand in one block. What not every engine has comes last, written out.
macro_rules! runtime_of_verbs {
    ($engine:ty, $name:expr $(, $($more:tt)+)?) => {
        #[async_trait::async_trait]
        impl $crate::Runtime for $engine {
            fn name(&self) -> &'static str {
                $name
            }

            async fn pull(
                &self,
                image: &tink_workflow::ImageRef,
                progress: &$crate::Progress,
            ) -> Result<$crate::PullOutcome, $crate::RuntimeError> {
                self.pull_image(image, progress).await
            }

            async fn import_archive(
                &self,
                archive: &std::path::Path,
                progress: &$crate::Progress,
            ) -> Result<Vec<String>, $crate::RuntimeError> {
                self.import_file(archive, progress).await
            }

            async fn start(&self, spec: &$crate::ContainerSpec) -> Result<$crate::HandleRecord, $crate::RuntimeError> {
                self.start_container(spec).await
            }

            async fn recover(&self, record: &$crate::HandleRecord) -> Result<$crate::Recovered, $crate::RuntimeError> {
                self.recover_container(record).await
            }

            async fn find(
                &self,
                identity: &$crate::Identity,
            ) -> Result<Option<$crate::HandleRecord>, $crate::RuntimeError> {
                self.find_container(identity).await
            }

            async fn wait(&self, record: &$crate::HandleRecord) -> Result<$crate::ExitStatus, $crate::RuntimeError> {
                self.wait_for_end(record).await
            }

            async fn logs(
                &self,
                record: &$crate::HandleRecord,
                from: $crate::LogPosition,
                sink: &mut dyn $crate::LogSink,
            ) -> Result<(), $crate::RuntimeError> {
                self.deliver_logs(record, from, sink).await
            }

            async fn stop(
                &self,
                record: &$crate::HandleRecord,
                grace: std::time::Duration,
            ) -> Result<(), $crate::RuntimeError> {
                self.stop_container(record, grace).await
            }

            async fn remove(&self, record: &$crate::HandleRecord) -> Result<(), $crate::RuntimeError> {
                self.remove_container(record).await
            }

            $($($more)+)?
        }
    };
}

pub(crate) use runtime_of_verbs;
