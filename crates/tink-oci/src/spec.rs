//! What a container shall be.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::volume::Volume;

/// A container's name for the state file that says what was asked for.
pub(crate) const SPEC_FILE: &str = "spec.json";

/// A container as it is wanted. Privileged, always: that is what an action is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Names the container's cgroup: 1 to 128 of `A-Z a-z 0-9 . _ -`, not starting with a dot.
    pub id: String,
    /// The container's own state directory (absolute): made if missing, it must not hold another container.
    pub dir: PathBuf,
    /// The image's layers as unpacked directories (absolute), lowest first, whiteouts as overlayfs has them.
    pub layers: Vec<PathBuf>,
    /// The program and its arguments. A name without a slash is looked up in the container's `PATH`.
    pub args: Vec<String>,
    /// `NAME=value` pairs; the last of a name wins. `PATH`, `HOSTNAME` and `HOME` are added where missing, as Docker does.
    pub env: Vec<String>,
    /// The working directory; made if missing.
    pub cwd: String,
    /// `user[:group]`, names (from the image's files) or numbers; root if absent.
    pub user: Option<String>,
    /// The container's host name; the machine's own if absent.
    pub hostname: Option<String>,
    /// Whether the program gets a terminal; its output is then one stream, the standard output.
    #[serde(default)]
    pub tty: bool,
    /// The number of the signal that asks the program to end; SIGTERM if absent, or if it is none that can be sent.
    #[serde(default)]
    pub stop_signal: Option<i32>,
    /// What of the host is mounted where.
    pub volumes: Vec<Volume>,
    /// The directory (absolute) below which missing sources of volumes are made where the host's own place for them is
    /// read-only, each under its path; without one such a source fails the start.
    #[serde(default)]
    pub stand_ins: Option<PathBuf>,
    /// The network the container sees.
    pub network: Network,
    /// The processes the container sees.
    pub pid: PidNamespace,
    /// What goes into `/etc/resolv.conf`.
    pub dns: Dns,
    /// Further `address name` lines for `/etc/hosts`.
    pub extra_hosts: Vec<(String, String)>,
    /// Where the container's own writes go.
    pub upper: Upper,
    /// How much of the output is kept.
    pub log: LogLimits,
}

impl Spec {
    /// A container with everything at its default, and no program yet.
    pub fn new(id: impl Into<String>, dir: impl Into<PathBuf>, layers: Vec<PathBuf>) -> Self {
        Self {
            id: id.into(),
            dir: dir.into(),
            layers,
            args: Vec::new(),
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: None,
            hostname: None,
            tty: false,
            stop_signal: None,
            volumes: Vec::new(),
            stand_ins: None,
            network: Network::Host,
            pid: PidNamespace::Private,
            dns: Dns::Host,
            extra_hosts: Vec::new(),
            upper: Upper::Auto,
            log: LogLimits::default(),
        }
    }

    /// What was asked for of the container in a state directory. `None` when there is none, or it was lost.
    pub(crate) fn load(dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(dir.join(SPEC_FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Checks what can be checked without touching the system.
    ///
    /// # Errors
    /// Names the field that cannot be used and why.
    pub fn check(&self) -> Result<(), SpecError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.id.is_empty() || self.id.len() > 128 || self.id.starts_with('.') || !self.id.bytes().all(legal) {
            return Err(SpecError::Id(self.id.clone()));
        }
        if self.args.is_empty() {
            return Err(SpecError::NoProgram);
        }
        let layers = self.layers.iter().map(|layer| ("layers", layer));
        let stand_ins = self.stand_ins.iter().map(|path| ("stand_ins", path));
        for (field, path) in std::iter::once(("dir", &self.dir)).chain(layers).chain(stand_ins) {
            if !path.is_absolute() {
                return Err(SpecError::Relative { field, path: path.clone() });
            }
        }
        if !Path::new(&self.cwd).is_absolute() {
            return Err(SpecError::Relative { field: "cwd", path: PathBuf::from(&self.cwd) });
        }
        if self.args.iter().chain(&self.env).any(|word| word.contains('\0')) {
            return Err(SpecError::Nul);
        }
        if let Some(hostname) = self.hostname.as_ref().filter(|name| name.is_empty() || name.len() > 64) {
            return Err(SpecError::Hostname(hostname.clone()));
        }
        Ok(())
    }
}

/// The environment may hold secrets: its names are shown, its values never.
impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|pair| pair.split('=').next().unwrap_or_default()).collect();
        f.debug_struct("Spec")
            .field("id", &self.id)
            .field("dir", &self.dir)
            .field("layers", &self.layers.len())
            .field("args", &self.args)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .field("hostname", &self.hostname)
            .field("volumes", &self.volumes)
            .field("network", &self.network)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// The network a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The host's, with its interfaces and ports.
    Host,
    /// A network of its own that has a loopback interface and nothing else.
    Isolated,
}

/// The processes a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PidNamespace {
    /// Its own only; its program is process 1.
    Private,
    /// Those of whoever launches it: the machine's if the launcher is in the initial PID namespace
    /// ([`crate::in_initial_pid_namespace`]).
    Host,
}

/// Where name lookups go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dns {
    /// The host's `/etc/resolv.conf` as it is at the start, or what the kernel's own `ip=dhcp` learnt if there is none.
    Host,
    /// This text.
    Text(String),
}

/// Where a container's own writes go; a fresh place for each container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upper {
    /// The state directory, or a tmpfs of its own, bounded by half of the memory that is available at the start, where that
    /// lies on a file system that overlayfs cannot write to.
    Auto,
    /// A tmpfs of its own with at most this many bytes; half of the memory that is available at the start if absent.
    Tmpfs {
        /// The tmpfs's size limit in bytes.
        size_bytes: Option<u64>,
    },
}

/// How much of a container's output is kept on disk; the newest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes on disk at most, at least 256 KiB; at least three quarters of it are there once that much was written.
    pub bytes_max: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { bytes_max: 16 * 1024 * 1024 }
    }
}

/// A specification that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The id cannot name a cgroup.
    #[error("container id {0:?} is not 1 to 128 of A-Z a-z 0-9 . _ - (and no leading dot)")]
    Id(String),
    /// There is nothing to run.
    #[error("no program to run: neither the image nor the action names one")]
    NoProgram,
    /// A path that must be absolute is not.
    #[error("{field} must be absolute paths, {path:?} is not")]
    Relative {
        /// The field it stands in.
        field: &'static str,
        /// The path as given.
        path: PathBuf,
    },
    /// An argument or environment value holds a NUL byte, which the kernel cannot pass on.
    #[error("an argument or environment value holds a NUL byte")]
    Nul,
    /// The host name is longer than the kernel takes.
    #[error("host name {0:?} is not 1 to 64 bytes long")]
    Hostname(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let mut spec = Spec::new("a", "/run/a", vec!["/layer".into()]);
        spec.args = vec!["true".to_owned()];
        spec
    }

    #[test]
    fn a_plain_spec_passes() {
        spec().check().unwrap();
    }

    #[test]
    fn an_id_that_would_leave_its_cgroup_is_refused() {
        for id in ["", "..", "a/b", ".hidden", &"x".repeat(129)] {
            let wrong = Spec { id: id.to_owned(), ..spec() };
            assert!(matches!(wrong.check(), Err(SpecError::Id(_))), "{id:?}");
        }
    }

    #[test]
    fn relative_paths_and_a_missing_program_are_refused() {
        assert!(matches!(Spec { args: Vec::new(), ..spec() }.check(), Err(SpecError::NoProgram)));
        assert!(matches!(
            Spec { cwd: "tmp".to_owned(), ..spec() }.check(),
            Err(SpecError::Relative { field: "cwd", .. })
        ));
        let wrong = Spec { layers: vec!["layer".into()], ..spec() };
        assert!(matches!(wrong.check(), Err(SpecError::Relative { field: "layers", .. })));
    }

    #[test]
    fn debug_shows_no_environment_value() {
        let shown = format!("{:?}", Spec { env: vec!["TOKEN=hunter2".to_owned()], ..spec() });
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
