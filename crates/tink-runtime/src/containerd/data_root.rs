//! Where `nerdctl` looks for a container's log and files.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use tink_image::Digest;

/// nerdctl's directory of one containerd and one namespace.
#[derive(Clone, Debug)]
pub(super) struct DataRoot {
    top: PathBuf,
    /// `<top>/<hash>/containers/<namespace>`
    containers: PathBuf,
    address: String,
}

/// The files that a container sees under `/etc`.
pub(super) const ETC_FILES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];

impl DataRoot {
    /// `<top>/<the first 8 digits of the SHA-256 of the socket's real path>`, as nerdctl has it.
    pub(super) fn new(top: &Path, socket: &Path, namespace: &str) -> io::Result<Self> {
        let real = fs::canonicalize(socket)?;
        let digest = Digest::sha256(real.as_os_str().as_encoded_bytes());
        let hash = digest.hex().get(..8).unwrap_or_default().to_owned();
        let containers = top.join(hash).join("containers").join(namespace);
        Ok(Self { top: top.to_owned(), containers, address: format!("unix://{}", socket.display()) })
    }

    /// The directory above those of all daemons.
    pub(super) fn top(&self) -> &Path {
        &self.top
    }

    /// A container's directory.
    pub(super) fn dir(&self, id: &str) -> PathBuf {
        self.containers.join(id)
    }

    /// Makes a container's directory anew, with what `nerdctl logs` needs and the files for `/etc`.
    pub(super) fn make(&self, id: &str, hostname: &str, with_network: bool) -> io::Result<PathBuf> {
        let dir = self.dir(id);
        remove_dir(&dir)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let config = json!({"driver": "json-file", "opts": {}, "address": self.address});
        write(&dir.join("log-config.json"), config.to_string().as_bytes(), 0o600)?;
        write(&dir.join("hostname"), format!("{hostname}\n").as_bytes(), 0o644)?;
        write(&dir.join("hosts"), &hosts(hostname, with_network), 0o644)?;
        write(&dir.join("resolv.conf"), &fs::read("/etc/resolv.conf").unwrap_or_default(), 0o644)?;
        Ok(dir)
    }
}

/// Ok when it is gone already.
pub(super) fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Made before containerd is asked to start a container's program.
const STARTING_FILE: &str = "starting";

/// Notes that the program may run from here on. When its shim dies, containerd forgets that there was a task at all.
pub(super) fn note_start(dir: &Path) -> io::Result<()> {
    write(&dir.join(STARTING_FILE), b"", 0o600)
}

/// Whether the program may have run.
pub(super) fn may_have_run(dir: &Path) -> bool {
    dir.join(STARTING_FILE).exists()
}

pub(super) fn log_file(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}-json.log"))
}

/// The host's, as the network is; without one, just the names of the container itself.
fn hosts(hostname: &str, with_network: bool) -> Vec<u8> {
    let own = || {
        let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        format!("{local}127.0.1.1\t{hostname}\n").into_bytes()
    };
    if with_network { fs::read("/etc/hosts").unwrap_or_else(|_| own()) } else { own() }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(path)?;
    io::Write::write_all(&mut file, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_one_nerdctl_looks_in() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("c.sock");
        fs::write(&socket, "").unwrap();
        let real = fs::canonicalize(&socket).unwrap();
        let link = dir.path().join("link.sock");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let direct = DataRoot::new(dir.path(), &socket, "tinkerbell").unwrap();
        let linked = DataRoot::new(dir.path(), &link, "tinkerbell").unwrap();
        assert_eq!(direct.dir("x"), linked.dir("x"));
        let hash = &Digest::sha256(real.to_str().unwrap().as_bytes()).hex()[..8].to_owned();
        assert_eq!(direct.dir("x"), dir.path().join(hash).join("containers/tinkerbell/x"));
        let made = direct.make("x", "box", false).unwrap();
        assert!(fs::read_to_string(made.join("hosts")).unwrap().contains("127.0.1.1\tbox"));
        assert!(fs::read_to_string(made.join("log-config.json")).unwrap().contains("\"driver\":\"json-file\""));
    }
}
