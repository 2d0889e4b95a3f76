//! Volumes as templates write them: `source:target[:options]`.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A directory or file of the host, mounted in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The host's path, absolute; a directory is made where nothing is. Absent: a fresh directory of the container's own.
    pub source: Option<PathBuf>,
    /// The container's path, absolute, below `/`.
    pub target: PathBuf,
    /// Whether the container may only read.
    pub read_only: bool,
    /// Whether what is mounted below the source comes along; Docker's default.
    pub recursive: bool,
}

impl Volume {
    /// A writable, recursive bind.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { source: Some(source.into()), target: target.into(), read_only: false, recursive: true }
    }

    /// A directory of the container's own, or what the image has there; nothing where the path can be no target. It is
    /// written without `.` and `..`.
    #[must_use]
    pub fn directory(target: impl AsRef<Path>) -> Option<Self> {
        let target = target.as_ref();
        let is_target = is_below_root(target) && !target.as_os_str().as_encoded_bytes().contains(&0);
        is_target.then(|| Self { source: None, target: plain(target), read_only: false, recursive: true })
    }

    /// The target without `.` and `..`.
    #[must_use]
    pub fn plain_target(&self) -> PathBuf {
        plain(&self.target)
    }

    /// Reads `source:target[:options]`, or a target alone. Options, separated by commas: `ro`, `rw`, `bind`, `rbind`,
    /// `private`, `rprivate`; `nocopy`, `z`, `Z`, `cached`, `delegated` and `consistent` are taken and mean nothing here.
    ///
    /// # Errors
    /// For what this runtime does not do: named volumes, propagation to the host, unknown options, a target of `/`.
    pub fn parse(text: &str) -> Result<Self, VolumeError> {
        let mut parts = text.splitn(3, ':');
        let (first, second, options) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let mut volume = match second {
            None => Self { source: None, target: PathBuf::from(first), read_only: false, recursive: true },
            Some(target) => Self::bind(first, target),
        };
        if let Some(source) = &volume.source
            && !source.is_absolute()
        {
            return Err(VolumeError::Named { volume: text.to_owned(), name: first.to_owned() });
        }
        if !is_below_root(&volume.target) {
            return Err(VolumeError::Target { volume: text.to_owned() });
        }
        for option in options.into_iter().flat_map(|options| options.split(',')).filter(|option| !option.is_empty()) {
            match option {
                "ro" | "readonly" => volume.read_only = true,
                "rw" => volume.read_only = false,
                "bind" => volume.recursive = false,
                "rbind" => volume.recursive = true,
                "private" | "rprivate" | "nocopy" | "z" | "Z" | "cached" | "delegated" | "consistent" => {}
                "shared" | "rshared" | "slave" | "rslave" => {
                    return Err(VolumeError::Propagation { volume: text.to_owned(), option: option.to_owned() });
                }
                _ => return Err(VolumeError::Option { volume: text.to_owned(), option: option.to_owned() }),
            }
        }
        Ok(volume)
    }
}

/// Whether a path is absolute and names something below `/`, however it is written.
pub(crate) fn is_below_root(path: &Path) -> bool {
    path.is_absolute() && plain(path) != Path::new("/")
}

/// The path without `.` and `..`, from `/` on.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(word) => plain.push(word),
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    plain
}

/// A volume this runtime cannot provide.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// The source is a name, which engines with a volume store know.
    #[error("volume {volume:?} names the volume {name:?}; there are no named volumes here, give an absolute host path")]
    Named {
        /// The volume as given.
        volume: String,
        /// Its source.
        name: String,
    },
    /// The target is no path below `/`.
    #[error("volume {volume:?} needs an absolute target below / in the container")]
    Target {
        /// The volume as given.
        volume: String,
    },
    /// Mounts would travel between container and host.
    #[error("volume {volume:?} asks for {option} propagation; every container's mounts are private here")]
    Propagation {
        /// The volume as given.
        volume: String,
        /// The option.
        option: String,
    },
    /// Nobody knows this option.
    #[error("volume {volume:?} has the unknown option {option:?}; known are ro, rw, bind, rbind, private and rprivate")]
    Option {
        /// The volume as given.
        volume: String,
        /// The option.
        option: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_real_templates_are_read() {
        assert_eq!(Volume::parse("/dev:/dev"), Ok(Volume::bind("/dev", "/dev")));
        let firmware = Volume::parse("/lib/firmware:/lib/firmware:ro").unwrap();
        assert!(firmware.read_only && firmware.recursive);
        assert!(!Volume::parse("/a:/b:bind,rw").unwrap().recursive);
        assert_eq!(Volume::parse("/data").unwrap().source, None);
    }

    #[test]
    fn a_named_volume_is_refused_and_says_so() {
        let error = Volume::parse("cache:/cache").unwrap_err();
        assert!(error.to_string().contains("no named volumes"), "{error}");
    }

    #[test]
    fn the_root_is_no_target_however_it_is_written() {
        for target in ["/", "//", "/.", "/a/..", "relative", ""] {
            let volume = format!("/src:{target}");
            assert_eq!(Volume::parse(&volume), Err(VolumeError::Target { volume: volume.clone() }), "{target}");
        }
    }

    #[test]
    fn propagation_to_the_host_is_refused() {
        assert!(matches!(Volume::parse("/a:/b:ro,rshared"), Err(VolumeError::Propagation { .. })));
        assert!(matches!(Volume::parse("/a:/b:wat"), Err(VolumeError::Option { .. })));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Volume::parse(&text);
        }
    }
}
