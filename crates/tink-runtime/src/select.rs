//! Which engine runs the actions.

use std::fmt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    ContainerdRuntime, DEFAULT_CONTAINERD_DATA_ROOT, DEFAULT_CONTAINERD_NAMESPACE, DEFAULT_CONTAINERD_SOCKET,
    DEFAULT_DOCKER_SOCKET, DockerRuntime, EmbeddedRuntime, RegistryCredentials, Runtime, RuntimeError,
};

/// Where containerd and Docker look for the settings of single registries.
const DEFAULT_CERTS_D: [&str; 2] = ["/etc/containerd/certs.d", "/etc/docker/certs.d"];

/// How long `auto` waits for an engine whose socket is there and who does not answer.
const SOCKET_PATIENCE: Duration = Duration::from_secs(5);
const SOCKET_LOOK: Duration = Duration::from_millis(250);

/// What `--runtime` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// Docker where its socket answers, else containerd where its own does, else the embedded runtime.
    #[default]
    Auto,
    /// Docker.
    Docker,
    /// containerd.
    Containerd,
    /// The runtime in this very binary.
    Embedded,
}

impl RuntimeChoice {
    /// Every choice, for help texts.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Docker, Self::Containerd, Self::Embedded];

    /// Whether it may come to the embedded runtime.
    #[must_use]
    pub fn may_be_embedded(self) -> bool {
        matches!(self, Self::Auto | Self::Embedded)
    }
}

impl fmt::Display for RuntimeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Embedded => "embedded",
        })
    }
}

/// A text that names no runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a runtime; auto, docker, containerd and embedded are")]
pub struct UnknownRuntime(String);

impl FromStr for RuntimeChoice {
    type Err = UnknownRuntime;

    /// Upper and lower case are the same, as in today's agent.
    fn from_str(text: &str) -> Result<Self, UnknownRuntime> {
        let known = Self::ALL.into_iter().find(|choice| choice.to_string().eq_ignore_ascii_case(text));
        known.ok_or_else(|| UnknownRuntime(text.to_owned()))
    }
}

/// What the engines need to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Docker's socket.
    pub docker_socket: PathBuf,
    /// containerd's socket.
    pub containerd_socket: PathBuf,
    /// The namespace in containerd that images and containers are kept in.
    pub containerd_namespace: String,
    /// nerdctl's directory: the logs of containerd's containers are kept where `nerdctl logs` looks for them.
    pub containerd_data_root: PathBuf,
    /// Passwords, each for exactly one registry.
    pub credentials: Vec<RegistryCredentials>,
    /// Where the embedded runtime keeps images and containers.
    pub state_dir: PathBuf,
    /// Registries that may be asked without verified TLS, or without TLS: `host`, `host:port` or an address range.
    /// Docker has a list of its own.
    pub insecure_registries: Vec<String>,
    /// Directories with a `hosts.toml` or `ca.crt` for each registry. Docker has settings of its own.
    pub certs_d: Vec<PathBuf>,
    /// CA certificates in PEM that are trusted for registries beside the built-in and the system's ones.
    pub extra_ca_files: Vec<PathBuf>,
    /// The most bytes that the embedded runtime keeps of images; three quarters of what is free without them if absent.
    pub image_bytes_max: Option<u64>,
}

impl Options {
    /// Everything at its default, with this state directory.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            docker_socket: PathBuf::from(DEFAULT_DOCKER_SOCKET),
            containerd_socket: PathBuf::from(DEFAULT_CONTAINERD_SOCKET),
            containerd_namespace: DEFAULT_CONTAINERD_NAMESPACE.to_owned(),
            containerd_data_root: PathBuf::from(DEFAULT_CONTAINERD_DATA_ROOT),
            credentials: Vec::new(),
            state_dir: state_dir.into(),
            insecure_registries: Vec::new(),
            certs_d: DEFAULT_CERTS_D.map(PathBuf::from).to_vec(),
            extra_ca_files: Vec::new(),
            image_bytes_max: None,
        }
    }
}

/// An engine, and why this one.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The engine.
    pub runtime: Arc<dyn Runtime>,
    /// One sentence for the log and for people.
    pub why: String,
}

/// No engine could be had.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The one that was asked for does not answer.
    #[error("failed to use the {choice} runtime: {reason}")]
    Unavailable {
        /// What was asked for.
        choice: RuntimeChoice,
        /// Why not, and what to do next.
        reason: String,
    },
}

/// Chooses the engine and connects to it; what was chosen and why is logged once.
///
/// # Errors
/// When the engine that was asked for is not there. `auto` fails only when none can be had.
pub async fn select(choice: RuntimeChoice, options: &Options) -> Result<Selected, SelectError> {
    let unavailable = |error: RuntimeError| SelectError::Unavailable { choice, reason: error.to_string() };
    let selected = match choice {
        RuntimeChoice::Docker => docker(options, "was asked for").await.map_err(unavailable)?,
        RuntimeChoice::Containerd => containerd(options, "was asked for").await.map_err(unavailable)?,
        RuntimeChoice::Embedded => embedded(options, "it was asked for").await.map_err(unavailable)?,
        RuntimeChoice::Auto => match docker_soon(options).await {
            Ok(selected) => selected,
            Err(docker) => match containerd(options, &format!("answers, no docker: {};", docker.reason())).await {
                Ok(selected) => selected,
                Err(error) => {
                    let why = format!("no docker: {}; no containerd: {}", docker.reason(), error.reason());
                    embedded(options, &why).await.map_err(unavailable)?
                }
            },
        },
    };
    if selected.runtime.name() != crate::embedded::NAME {
        // Nothing will be launched from here.
        tink_oci::end_forker();
    }
    tracing::info!(runtime = selected.runtime.name(), why = selected.why, "runtime chosen");
    Ok(selected)
}

/// A socket that is there is somebody's, who may not listen yet: workers often start before engines.
async fn docker_soon(options: &Options) -> Result<Selected, RuntimeError> {
    let mut waited = Duration::ZERO;
    loop {
        let error = match docker(options, "answers").await {
            Ok(selected) => return Ok(selected),
            Err(error) => error,
        };
        let is_there = options.docker_socket.metadata().is_ok_and(|file| file.file_type().is_socket());
        if !is_there || waited >= SOCKET_PATIENCE {
            return Err(error);
        }
        if waited.is_zero() {
            let (socket, patience_s) = (options.docker_socket.display(), SOCKET_PATIENCE.as_secs());
            tracing::info!(%socket, patience_s, reason = error.reason(), "docker does not answer yet; waiting for it");
        }
        tokio::time::sleep(SOCKET_LOOK).await;
        waited += SOCKET_LOOK;
    }
}

async fn docker(options: &Options, why: &str) -> Result<Selected, RuntimeError> {
    let runtime = DockerRuntime::connect(&options.docker_socket, options.credentials.clone()).await?;
    let why = format!("docker {why} at {} (API {})", options.docker_socket.display(), runtime.api_version());
    Ok(Selected { runtime: Arc::new(runtime), why })
}

async fn containerd(options: &Options, why: &str) -> Result<Selected, RuntimeError> {
    let runtime = ContainerdRuntime::connect(options).await?;
    let (version, namespace) = (runtime.version(), runtime.namespace());
    let socket = options.containerd_socket.display();
    let why = format!("containerd {why} at {socket} (version {version}, namespace {namespace})");
    Ok(Selected { runtime: Arc::new(runtime), why })
}

async fn embedded(options: &Options, why: &str) -> Result<Selected, RuntimeError> {
    let runtime = EmbeddedRuntime::open(options)?;
    // Before anything else is written: it may be what the disk is full of.
    runtime.sweep_other_boots().await;
    let why = format!("the embedded runtime in {} ({why})", options.state_dir.display());
    Ok(Selected { runtime: Arc::new(runtime), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_socket_whose_engine_does_not_come_is_waited_for_and_then_left() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let mut options = Options { docker_socket: socket, ..Options::new(dir.path().join("state")) };
        options.containerd_socket = dir.path().join("none.sock");
        let begun = tokio::time::Instant::now();
        let selected = select(RuntimeChoice::Auto, &options).await.unwrap();
        assert_eq!(selected.runtime.name(), "embedded");
        assert!(begun.elapsed() >= SOCKET_PATIENCE, "{:?}", begun.elapsed());
        assert!(selected.why.contains("Connection refused"), "{}", selected.why);
    }

    #[test]
    fn choices_are_read_in_any_case() {
        for choice in RuntimeChoice::ALL {
            assert_eq!(choice.to_string().to_uppercase().parse(), Ok(choice));
        }
        let error = "podman".parse::<RuntimeChoice>().unwrap_err();
        assert_eq!(error.to_string(), "\"podman\" is not a runtime; auto, docker, containerd and embedded are");
    }

    #[tokio::test]
    async fn a_docker_that_was_asked_for_and_is_not_there_is_an_error() {
        let options = Options { docker_socket: "/nonexistent/docker.sock".into(), ..Options::new("/nonexistent") };
        let error = select(RuntimeChoice::Docker, &options).await.unwrap_err().to_string();
        assert!(error.contains("/nonexistent/docker.sock"), "{error}");
        assert!(error.contains("is dockerd running"), "{error}");
    }

    #[tokio::test]
    async fn a_containerd_that_was_asked_for_and_is_not_there_is_an_error() {
        let options = Options { containerd_socket: "/nonexistent/c.sock".into(), ..Options::new("/nonexistent") };
        let error = select(RuntimeChoice::Containerd, &options).await.unwrap_err().to_string();
        assert!(error.contains("/nonexistent/c.sock") && error.contains("is containerd running"), "{error}");
    }

    #[tokio::test]
    async fn without_docker_and_containerd_the_embedded_runtime_is_chosen_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            docker_socket: dir.path().join("none.sock"),
            containerd_socket: dir.path().join("nor.sock"),
            ..Options::new(dir.path().join("state"))
        };
        let selected = select(RuntimeChoice::Auto, &options).await.unwrap();
        assert_eq!(selected.runtime.name(), "embedded");
        assert!(selected.why.contains("none.sock") && selected.why.contains("nor.sock"), "{}", selected.why);
    }
}
