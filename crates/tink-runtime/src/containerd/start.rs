//! Creating and starting a container, and what to do when it is there already.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use prost_types::Any;
use tink_containerd::services::containers::v1::{Container, CreateContainerRequest, container};
use tink_containerd::services::tasks::v1::{CreateTaskRequest, StartRequest};
use tink_containerd::types::Mount;
use tonic::Code;

use super::call::{Failure, FailureKind, LONG, SHORT, call};
use super::data_root::note_start;
use super::find::is_this_run;
use super::image::{Unpacked, name};
use super::lease::Lease;
use super::logger::log_uri;
use super::names::{container_id, record};
use super::spec::{Place, make_sources, oci_spec};
use super::task::Life;
use super::user::User;
use super::{ContainerdRuntime, NAME, host};
use crate::wanted::Wanted;
use crate::{ContainerSpec, HandleRecord, Identity, Operation, RuntimeError};

/// The type that containerd's other clients give the specification.
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const RUNTIME: &str = "io.containerd.runc.v2";
const RUNTIME_OPTIONS_TYPE: &str = "containerd.runc.v1.Options";
/// `Options.no_pivot_root = true`, encoded.
const NO_PIVOT_ROOT: [u8; 2] = [0x08, 0x01];
/// Where a copy of this program lies, below the data root, for a daemon that cannot see the process.
const LOGGER_FILE: &str = "tink-logger";

/// A start that failed.
enum Fault {
    /// Before containerd was asked: the action's or the image's.
    Ours(String),
    Engine(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Engine(failure)
    }
}

impl ContainerdRuntime {
    pub(super) async fn start_container(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        let (name_shown, id) = (spec.identity.container_name(), container_id(&spec.identity));
        let fail = |failure: Failure| failure.into_error(Operation::Start, &name_shown);
        let image = self.unpacked(&spec.image).await.map_err(fail)?.ok_or_else(|| {
            let reason = format!("the image {} is not here; it was removed after the pull", spec.image);
            RuntimeError::permanent(Operation::Start, &name_shown, reason)
        })?;
        let wanted = Wanted::read(spec, &image.config.config, NAME)
            .map_err(|reason| RuntimeError::permanent(Operation::Start, &name_shown, reason))?;
        if self.settle_clash(&spec.identity, &name_shown, &id).await? {
            return Ok(record(&spec.identity));
        }
        let lease = self.lease().await.map_err(fail)?;
        let started = self.start_new(&lease, spec, &wanted, &image, &id).await;
        self.end_lease(lease, false).await;
        let Err(fault) = started else { return Ok(record(&spec.identity)) };
        // One whose fate is unknown stays: the next try finds it by its id.
        let unknown = matches!(&fault, Fault::Engine(failure) if failure.is_unreachable());
        if !unknown && let Err(failure) = self.remove_whole(&id).await {
            tracing::warn!(
                container = name_shown,
                reason = failure.message,
                "a container that did not start stays behind"
            );
        }
        Err(match fault {
            Fault::Ours(reason) => RuntimeError::permanent(Operation::Start, &name_shown, reason),
            Fault::Engine(failure) => start_error(failure, &name_shown),
        })
    }

    async fn start_new(
        &self,
        lease: &Lease,
        spec: &ContainerSpec,
        wanted: &Wanted,
        image: &Unpacked,
        id: &str,
    ) -> Result<(), Fault> {
        let mounts = self.prepare_snapshot(lease, id, &image.chain).await?;
        let process = &image.config.config;
        let user = User::resolve(&mounts, &process.user).map_err(Fault::Ours)?;
        let hostname = host::hostname();
        let dir = self.data_root.make(id, &hostname, wanted.host_network).map_err(|error| {
            let dir = self.data_root.dir(id);
            Fault::Ours(format!("cannot make {}: {error}; see --containerd-data-root", dir.display()))
        })?;
        make_sources(wanted, &dir).map_err(Fault::Ours)?;
        let capabilities = self.daemon.capabilities();
        let place = Place { id, dir: &dir, hostname: &hostname, capabilities: &capabilities };
        let oci = oci_spec(spec, wanted, process, &user, &place);
        let logger = self.logger().map_err(|error| Fault::Ours(format!("cannot place the logger: {error}")))?;
        let log_uri = log_uri(&logger, &dir, spec.tty);
        let container = Container {
            id: id.to_owned(),
            labels: self.labels(spec, &hostname, &dir, &log_uri),
            image: name(&spec.image),
            runtime: Some(container::Runtime { name: RUNTIME.to_owned(), options: None }),
            spec: Some(Any { type_url: SPEC_TYPE.to_owned(), value: oci.to_string().into_bytes() }),
            snapshotter: self.snapshotter.clone(),
            snapshot_key: id.to_owned(),
            created_at: None,
        };
        let request = self.leased(lease, CreateContainerRequest { container: Some(container) });
        call(SHORT, self.containers().create(request)).await?;
        self.start_task(id, &dir, mounts, spec.tty, log_uri).await?;
        Ok(())
    }

    async fn start_task(
        &self,
        id: &str,
        dir: &Path,
        rootfs: Vec<Mount>,
        tty: bool,
        log_uri: String,
    ) -> Result<(), Fault> {
        let options = self
            .daemon
            .is_on_initramfs()
            .then(|| Any { type_url: RUNTIME_OPTIONS_TYPE.to_owned(), value: NO_PIVOT_ROOT.to_vec() });
        let create = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdin: String::new(),
            stdout: log_uri.clone(),
            stderr: if tty { String::new() } else { log_uri },
            terminal: tty,
            options,
        };
        call(LONG, self.tasks().create(self.request(create))).await?;
        note_start(dir).map_err(|error| Fault::Ours(format!("cannot write to {}: {error}", dir.display())))?;
        let start = StartRequest { container_id: id.to_owned(), exec_id: String::new() };
        call(LONG, self.tasks().start(self.request(start))).await?;
        Ok(())
    }

    /// The identity, and what `nerdctl` wants to know.
    fn labels(&self, spec: &ContainerSpec, hostname: &str, dir: &Path, log_uri: &str) -> HashMap<String, String> {
        let mut labels: HashMap<String, String> =
            spec.identity.labels().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        for (key, value) in [
            ("nerdctl/namespace", self.namespace.as_str()),
            ("nerdctl/name", &spec.identity.container_name()),
            ("nerdctl/hostname", hostname),
            ("nerdctl/extraHosts", "[]"),
            ("nerdctl/state-dir", &dir.to_string_lossy()),
            ("nerdctl/log-uri", log_uri),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        labels
    }

    /// A path under which the shim finds this program: the process itself, which is right whatever became of the file
    /// and in whichever mount namespace it lies; or a copy beside the logs, for a daemon that does not see our process.
    fn logger(&self) -> std::io::Result<PathBuf> {
        if self.daemon.shares_processes() {
            return Ok(PathBuf::from(format!("/proc/{}/exe", std::process::id())));
        }
        let (own, copy) = (Path::new("/proc/self/exe"), self.data_root.top().join(LOGGER_FILE));
        let source = fs::metadata(own)?;
        let same = |there: fs::Metadata| there.len() == source.len() && there.mtime() >= source.mtime();
        if !fs::metadata(&copy).is_ok_and(same) {
            let partial = copy.with_extension(std::process::id().to_string());
            fs::copy(own, &partial)?;
            fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
            fs::rename(&partial, &copy)?;
        }
        Ok(copy)
    }

    /// Whether this very run is running already. Else the id is free when this returns.
    async fn settle_clash(&self, identity: &Identity, name_shown: &str, id: &str) -> Result<bool, RuntimeError> {
        let fail = |failure: Failure| failure.into_error(Operation::Start, name_shown);
        let seen = self.look(id).await.map_err(fail)?;
        if let Some(seen) = &seen
            && seen.life == Life::Running
        {
            if is_this_run(seen, identity) {
                tracing::info!(container = name_shown, id, "the action's container is running already, taken up");
                return Ok(true);
            }
            let reason = format!("a container of somebody else has its id and runs; end it with `nerdctl rm -f {id}`");
            return Err(RuntimeError::permanent(Operation::Start, name_shown, reason));
        }
        if seen.is_some() {
            tracing::info!(container = name_shown, id, "removing what is left of an earlier run of the action");
        }
        // Also without a container: a worker that died early may have left a snapshot.
        self.remove_whole(id).await.map_err(fail)?;
        Ok(false)
    }
}

/// What containerd and runc answer to a start is about this container and stays so, unless they were not ready.
fn start_error(failure: Failure, name_shown: &str) -> RuntimeError {
    const MAY_PASS: [&str; 7] = [
        "connection refused",
        "connection reset",
        "deadline exceeded",
        "timed out",
        "context canceled",
        "ttrpc: closed",
        // What a containerd that was killed had begun, and is still cleaning up behind.
        "container with given id already exists",
    ];
    let words = failure.message.to_ascii_lowercase();
    let permanent = match failure.kind {
        FailureKind::Unreachable | FailureKind::Code(Code::Aborted | Code::AlreadyExists | Code::ResourceExhausted) => {
            false
        }
        FailureKind::Code(_) => !MAY_PASS.iter().any(|pattern| words.contains(pattern)),
    };
    if !permanent {
        return failure.into_error(Operation::Start, name_shown);
    }
    let says = |patterns: &[&str]| patterns.iter().any(|pattern| words.contains(pattern));
    let advice = if says(&["logging binary", "binary process", LOGGER_FILE]) {
        "; the shim could not start this program as the container's logger: with the worker in a container of its own, \
         --containerd-data-root must be the same path inside and outside, on a file system without `noexec`"
    } else if says(&["unable to apply caps", "operation not permitted"]) {
        "; does containerd itself run as root with all capabilities?"
    } else if says(&[
        "executable file not found",
        "exec format error",
        "permission denied",
        "no such file or directory",
    ]) {
        "; check the action's command and volumes, and the image's entrypoint and platform"
    } else {
        ""
    };
    RuntimeError::permanent(Operation::Start, name_shown, format!("{}{advice}", failure.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_containerd_left_behind_is_waited_for() {
        let error = |message: &str| {
            let failure = Failure { kind: FailureKind::Code(Code::Unknown), message: message.to_owned() };
            start_error(failure, "a")
        };
        let left = "failed to create shim task: OCI runtime create failed: runc create failed: container with given ID already exists: unknown";
        assert!(error(left).is_retryable());
        assert!(!error("exec: \"no-such-program\": executable file not found in $PATH: unknown").is_retryable());
    }
}
