//! The engine's socket: what actions that start containers of their own find at `/var/run/docker.sock`.
//!
//! Templates end with an image such as `waitdaemon`, which reports success at once and does its work later: it asks the
//! engine about its own container, creates another one like it, starts that and ends. The container it started waits, starts
//! the image that does the work (kexec, reboot), and ends as well. Here there is no engine to ask, so that each container
//! that mounts the socket gets a process of its own that answers: this very binary again, in the background, for as long
//! as the container runs and whether or not the worker lives.
//!
//! ```text
//! container ──HTTP──▶ <container>/engine.sock ──▶ server process ──shim──▶ detached container
//! ```
//!
//! Served are the calls such images make (see `routes`), of Docker's API. What is started this way is *detached*: no
//! action waits for it, and it outlives its action, workflow and worker (see `detached`).
//!
//! Limits: the volume must name the socket itself, not a directory above it. A socket of the host that answers is
//! mounted as it is, except for `waitdaemon`, which looks for its own container there.

mod answer;
mod create;
mod process;
mod routes;
mod serve;
mod setup;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tink_oci::{Spec, Volume};
use tink_workflow::ImageRef;

pub use process::helper_main_if_asked;
pub(super) use process::start;
pub(super) use setup::Setup;

/// Where programs look for it.
const CONTAINER_PATH: &str = "/var/run/docker.sock";
/// The names it has on hosts, where `/var/run` is a link to `/run`.
const HOST_PATHS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];
/// In the container's state directory.
const SOCKET_FILE: &str = "engine.sock";

/// How long a socket of the host may take to accept a connection.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// Points the container's volume for the engine's socket, if it has one, at a socket of ours. Whether one must be served.
///
/// `waitdaemon` gets it in any case: with containerd it needs no volume, since it calls a program of the host then, which
/// is not there. For the same reason it is told to use the socket.
pub(super) async fn place(wanted: &mut Spec, image: &ImageRef, configured: &Path) -> bool {
    let is_waitdaemon = is_waitdaemon(image);
    let socket = wanted.dir.join(SOCKET_FILE);
    let mut placed = false;
    for volume in &mut wanted.volumes {
        let Some(source) = volume.source.as_deref() else { continue };
        let names_it = source == configured || HOST_PATHS.iter().any(|path| source == Path::new(path));
        if names_it && (is_waitdaemon || !answers(source).await) {
            volume.source = Some(socket.clone());
            volume.read_only = false;
            placed = true;
        }
    }
    if is_waitdaemon {
        if !placed {
            wanted.volumes.push(Volume::bind(socket, CONTAINER_PATH));
        }
        wanted.env.push("CONTAINER_RUNTIME=docker".to_owned());
        placed = true;
    }
    placed
}

/// Whatever registry or mirror it comes from.
fn is_waitdaemon(image: &ImageRef) -> bool {
    image.repository().rsplit('/').next() == Some("waitdaemon")
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

    async fn placed(image: &str, volumes: &[&str], configured: &Path) -> (Spec, bool) {
        let mut spec = Spec::new("id", "/state/id", Vec::new());
        spec.volumes = volumes.iter().map(|volume| Volume::parse(volume).unwrap()).collect();
        let placed = place(&mut spec, &ImageRef::parse(image).unwrap(), configured).await;
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
        let (spec, ours) = placed("alpine", &["/dev:/dev", &volume], &path).await;
        assert!(ours && !spec.volumes[1].read_only);
        assert_eq!(sources(&spec), [Path::new("/dev"), Path::new("/state/id/engine.sock")]);

        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (spec, ours) = placed("alpine", &[&volume], &path).await;
        assert!(!ours);
        assert_eq!(sources(&spec), [path.as_path()]);
        let (spec, ours) = placed("ghcr.io/jacobweinstock/waitdaemon:0.2.1", &[&volume], &path).await;
        assert!(ours, "it would look for its own container in an engine that does not have it");
        assert_eq!(sources(&spec), [Path::new("/state/id/engine.sock")]);

        drop(listener);
        assert!(placed("alpine", &[&volume], &path).await.1, "what is left of an engine is no engine");
    }

    #[tokio::test]
    async fn waitdaemon_needs_no_volume_and_uses_the_socket() {
        let nowhere = Path::new("/nonexistent/docker.sock");
        let (spec, ours) = placed("mirror.example:5000/x/waitdaemon", &[], nowhere).await;
        assert!(ours);
        assert_eq!(spec.volumes, [Volume::bind("/state/id/engine.sock", CONTAINER_PATH)]);
        assert_eq!(spec.env, ["CONTAINER_RUNTIME=docker"]);
        assert!(!placed("mirror.example:5000/waitdaemon/other", &["/dev:/dev"], nowhere).await.1);
    }
}
