//! The engine's socket: what actions that start containers of their own find at `/var/run/docker.sock`.
//!
//! Images in the manner of `waitdaemon` report success at once and do their work later: such a program asks the engine
//! about its own container, creates another one like it, starts that and ends. The container it started waits, starts the
//! image that does the work, and ends as well. (`waitdaemon` itself the worker knows by name, and runs what it would run.)
//! Here there is no engine to ask, so that each container that mounts the socket gets a process of its own that answers: this very
//! binary again, in the background, for as long as the container runs and whether or not the worker lives.
//!
//! ```text
//! container ──HTTP──▶ <container>/engine.sock ──▶ server process ──shim──▶ detached container
//! ```
//!
//! Served are the calls such images make (see `routes`), of Docker's API. What is started this way is *detached*: no
//! action waits for it, and it outlives its action, workflow and worker (see `detached`).
//!
//! Limits: the volume must name the socket itself, not a directory above it. A socket of the host that answers is mounted
//! as it is.

mod answer;
mod create;
mod process;
mod routes;
mod serve;
mod setup;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tink_oci::Spec;

pub use process::helper_main_if_asked;
pub(super) use process::start;
pub(super) use setup::Setup;

/// The names it has on hosts, where `/var/run` is a link to `/run`.
const HOST_PATHS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];
/// In the container's state directory.
const SOCKET_FILE: &str = "engine.sock";

/// How long a socket of the host may take to accept a connection.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// Points the container's volume for the engine's socket, if it has one and no engine answers there, at a socket of ours.
/// Whether one must be served.
pub(super) async fn place(wanted: &mut Spec, configured: &Path) -> bool {
    let socket = wanted.dir.join(SOCKET_FILE);
    let mut placed = false;
    for volume in &mut wanted.volumes {
        let Some(source) = volume.source.as_deref() else { continue };
        let names_it = source == configured || HOST_PATHS.iter().any(|path| source == Path::new(path));
        if names_it && !answers(source).await {
            volume.source = Some(socket.clone());
            volume.read_only = false;
            placed = true;
        }
    }
    placed
}

/// Whether an engine listens there. A file that is left of one does not count, nor does a directory that was made where
/// the socket was missing.
async fn answers(socket: &Path) -> bool {
    let connected = tokio::time::timeout(ANSWER_DEADLINE, tokio::net::UnixStream::connect(socket)).await;
    matches!(connected, Ok(Ok(_)))
}

/// The socket's path for `bind`, which takes no more than 108 bytes: by way of the open directory.
fn short_path(directory: &std::fs::File) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_FILE}", directory.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tink_oci::Volume;

    async fn placed(volumes: &[&str], configured: &Path) -> (Spec, bool) {
        let mut spec = Spec::new("id", "/state/id", Vec::new());
        spec.volumes = volumes.iter().map(|volume| Volume::parse(volume).unwrap()).collect();
        let placed = place(&mut spec, configured).await;
        (spec, placed)
    }

    fn sources(spec: &Spec) -> Vec<&Path> {
        spec.volumes.iter().filter_map(|volume| volume.source.as_deref()).collect()
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_served_by_us_and_one_that_answers_is_the_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        let volume = format!("{}:/var/run/docker.sock:ro", path.display());
        let (spec, ours) = placed(&["/dev:/dev", &volume], &path).await;
        assert!(ours && !spec.volumes[1].read_only);
        assert_eq!(sources(&spec), [Path::new("/dev"), Path::new("/state/id/engine.sock")]);

        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (spec, ours) = placed(&[&volume], &path).await;
        assert!(!ours);
        assert_eq!(sources(&spec), [path.as_path()]);

        drop(listener);
        assert!(placed(&[&volume], &path).await.1, "what is left of an engine is no engine");
        assert!(!placed(&["/dev:/dev"], &path).await.1);
    }
}
