//! What an action asks for, read for the runtimes that make containers out of parts and not through an engine's front door.

use std::path::{Path, PathBuf};

use tink_image::ProcessConfig;
use tink_oci::Volume;

use crate::ContainerSpec;

/// What the action asks for, laid over what its image says, and checked.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Entrypoint and command.
    pub(crate) args: Vec<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) host_pid: bool,
    /// There are no bridges: a container that is to reach others uses the host's network.
    pub(crate) host_network: bool,
}

impl Wanted {
    /// Reads it. An error is what the action asks for and `runtime` does not do, in words for the action's author.
    pub(crate) fn read(spec: &ContainerSpec, image: &ProcessConfig, runtime: &str) -> Result<Self, String> {
        let volumes = spec.volumes.iter().map(|volume| Volume::parse(volume));
        let volumes = volumes.collect::<Result<_, _>>().map_err(|error| format!("{error} (the {runtime} runtime)"))?;
        let not_had = |what: &str, asked: &str, had: &str| {
            format!("the {what} {asked:?} is not to be had; the {runtime} runtime has `host` and {had}")
        };
        let host_pid = match spec.pid.as_str() {
            "" | "private" => false,
            "host" => true,
            other => return Err(not_had("PID namespace", other, "one of the container's own")),
        };
        let host_network = match spec.network.as_str() {
            "" | "host" | "bridge" | "default" => true,
            "none" => false,
            other => return Err(not_had("network", other, "`none`")),
        };
        let command = if spec.command.is_empty() { &image.cmd } else { &spec.command };
        Ok(Self {
            args: [image.entrypoint.as_slice(), command].concat(),
            cwd: Path::new("/").join(&image.working_dir),
            volumes,
            host_pid,
            host_network,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::action;

    fn image() -> ProcessConfig {
        ProcessConfig {
            entrypoint: vec!["/entry".to_owned()],
            cmd: vec!["default".to_owned()],
            working_dir: "srv".to_owned(),
            ..ProcessConfig::default()
        }
    }

    #[test]
    fn the_command_replaces_the_images_and_the_entrypoint_stays() {
        let read = |spec: &ContainerSpec| Wanted::read(spec, &image(), "x").unwrap();
        assert_eq!(read(&action()).args, ["/entry", "default"]);
        assert_eq!(read(&ContainerSpec { command: vec!["given".to_owned()], ..action() }).args, ["/entry", "given"]);
        assert_eq!(read(&action()).cwd, Path::new("/srv"));
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        for (pid, network, volume, named) in [
            ("container:x", "", "/a:/a", "container:x"),
            ("", "container:x", "/a:/a", "container:x"),
            ("", "my-network", "/a:/a", "my-network"),
            ("", "", "cache:/a", "cache"),
            ("", "", "/a:relative", "relative"),
            ("", "", "/a:/a:nonsense", "nonsense"),
            ("", "", "/a:/a:rshared", "rshared"),
        ] {
            let (pid, network, volumes) = (pid.to_owned(), network.to_owned(), vec![volume.to_owned()]);
            let wrong = ContainerSpec { pid, network, volumes, ..action() };
            let error = Wanted::read(&wrong, &image(), "containerd").unwrap_err();
            assert!(error.contains(named) && error.contains("the containerd runtime"), "{error}");
        }
    }
}
