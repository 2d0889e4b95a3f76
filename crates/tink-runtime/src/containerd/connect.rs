//! Reaching the daemon.

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tink_containerd::services::introspection::v1::PluginsRequest;
use tink_containerd::services::introspection::v1::introspection_client::IntrospectionClient;
use tink_containerd::services::version::v1::version_client::VersionClient;
use tink_image::Registries;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::call::{Failure, call};
use super::data_root::DataRoot;
use super::{ContainerdRuntime, host};
use crate::registry::registry_config;
use crate::{Operation, Options, RuntimeError};

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// The snapshotters that need no set-up of their own, the cheapest first; the others are for special machines.
const SNAPSHOTTERS: [&str; 2] = ["overlayfs", "native"];

impl ContainerdRuntime {
    /// Connects to the daemon of the options and looks at what it can do.
    ///
    /// # Errors
    /// Transient when no daemon answers within ten seconds; permanent when the settings cannot be used or it has no
    /// snapshotter.
    pub async fn connect(options: &Options) -> Result<Self, RuntimeError> {
        let socket = options.containerd_socket.as_path();
        let subject = || format!("at {}", socket.display());
        let fail = |failure: Failure| {
            let hint = "is containerd running, and is this its socket?";
            RuntimeError::transient(Operation::Connect, subject(), format!("{}; {hint}", failure.message))
        };
        let broken = |reason: String| RuntimeError::permanent(Operation::Connect, subject(), reason);
        if !is_name(&options.containerd_namespace) {
            let reason = format!(
                "{:?} is no namespace; letters and digits, and single `.`, `-` and `_` between them are",
                options.containerd_namespace
            );
            return Err(broken(reason));
        }
        let daemon = host::Daemon::at(socket).await;
        let daemon = daemon.map_err(|error| fail(Failure::unreachable(format!("{}: {error}", socket.display()))))?;
        let channel = channel(socket);
        let version = call(CONNECT_DEADLINE, VersionClient::new(channel.clone()).version(())).await.map_err(fail)?;
        let snapshotter = match snapshotter(&channel).await.map_err(fail)? {
            Ok(name) => name,
            Err(reason) => return Err(broken(reason)),
        };
        let data_root = DataRoot::new(&options.containerd_data_root, socket, &options.containerd_namespace);
        let data_root = data_root.map_err(|error| broken(error.to_string()))?;
        let registries = Registries::new(registry_config(options)).map_err(|error| broken(error.chain()))?;
        Ok(Self {
            channel,
            socket: socket.to_owned(),
            namespace: options.containerd_namespace.clone(),
            version: version.version.trim_start_matches('v').split(['~', '+', ' ']).next().unwrap_or("").to_owned(),
            snapshotter,
            data_root,
            registries,
            daemon,
        })
    }
}

/// Connects when it is first used, and again after each restart of the daemon.
fn channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    Endpoint::from_static("http://containerd").connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    }))
}

/// The first of our snapshotters that the daemon has and could start.
async fn snapshotter(channel: &Channel) -> Result<Result<String, String>, Failure> {
    let filters = vec!["type==io.containerd.snapshotter.v1".to_owned()];
    let mut client = IntrospectionClient::new(channel.clone());
    let plugins = call(CONNECT_DEADLINE, client.plugins(PluginsRequest { filters })).await?.plugins;
    let works = |name: &&str| plugins.iter().any(|plugin| plugin.id == **name && plugin.init_err.is_none());
    if let Some(name) = SNAPSHOTTERS.iter().copied().find(works) {
        return Ok(Ok(name.to_owned()));
    }
    let reasons: Vec<_> = SNAPSHOTTERS
        .iter()
        .map(|name| {
            match plugins.iter().find(|plugin| plugin.id == *name).and_then(|plugin| plugin.init_err.as_ref()) {
                Some(error) => format!("{name}: {}", error.message),
                None => format!("{name}: not built in"),
            }
        })
        .collect();
    Ok(Err(format!("it has no usable snapshotter ({}); enable one in its config.toml", reasons.join("; "))))
}

/// containerd's own rule for namespaces; they are names of directories here, too.
fn is_name(text: &str) -> bool {
    let is_separator = |c: char| matches!(c, '.' | '-' | '_');
    (1..=76).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || is_separator(c))
        && text.split(is_separator).all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_no_path() {
        for good in ["tinkerbell", "k8s.io", "a-b_c", "x1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "..", "a/b", ".hidden", "a..b", "end-", "a b", "ä"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_named() {
        let options = Options { containerd_socket: "/nonexistent/c.sock".into(), ..Options::new("/nonexistent") };
        let error = ContainerdRuntime::connect(&options).await.unwrap_err();
        assert!(error.is_retryable());
        assert!(
            error.to_string().contains("/nonexistent/c.sock") && error.to_string().contains("is containerd running")
        );
    }
}
