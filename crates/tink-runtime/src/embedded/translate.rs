//! What an action says becomes what `tink-oci` does.

use std::path::{Path, PathBuf};

use tink_image::ProcessConfig;
use tink_oci::{Network, PidNamespace, Spec, Volume};

use super::NAME;
use crate::ContainerSpec;
use crate::wanted::Wanted;

/// What a container id may have at most: it names a cgroup, too.
const ID_BYTES_MAX: usize = 128;

/// The last part of the names of images that start another kernel.
const KEXEC: &str = "kexec";

/// The container's id: its name, shortened in the middle where the action's name is very long.
pub(super) fn container_id(name: &str) -> String {
    if name.len() <= ID_BYTES_MAX {
        return name.to_owned();
    }
    // Names are ASCII. The end of the name tells runs apart: the action's id, the attempt and the purpose.
    let (head, tail) = (name.get(..40).unwrap_or_default(), name.get(name.len() - 87..).unwrap_or_default());
    format!("{head}_{tail}")
}

/// The container that `spec` asks for, from the image's `layers` and `config`.
///
/// An error is what the action asks for and this runtime does not do, in words for the action's author.
pub(super) fn translate(
    spec: &ContainerSpec,
    id: &str,
    dir: &Path,
    layers: Vec<PathBuf>,
    config: &ProcessConfig,
) -> Result<Spec, String> {
    let asked = Wanted::read(spec, config, NAME)?;
    if asked.host_pid && !tink_oci::in_initial_pid_namespace() {
        host_pid_of_a_container(spec)?;
    }
    let mut wanted = Spec::new(id, dir, layers);
    wanted.args = asked.args;
    wanted.env = [config.env.as_slice(), &spec.environment].concat();
    wanted.cwd = asked.cwd.to_string_lossy().into_owned();
    wanted.user = (!config.user.is_empty()).then(|| config.user.clone());
    wanted.volumes = asked.volumes;
    wanted.volumes.extend(data_directories(config, &wanted.volumes));
    wanted.pid = if asked.host_pid { PidNamespace::Host } else { PidNamespace::Private };
    wanted.network = if asked.host_network { Network::Host } else { Network::Isolated };
    wanted.tty = spec.tty;
    wanted.stop_signal = stop_signal(&config.stop_signal);
    Ok(wanted)
}

/// Where the kernel's own file systems are, in which no directory can be made or is kept.
const OF_THE_KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The directories for data (`VOLUME`) that the image names and no volume of the action brings, in the order of their
/// names. Made where the image has none; what it has there stays. What can be none is left out: the image runs without.
fn data_directories(config: &ProcessConfig, volumes: &[Volume]) -> Vec<Volume> {
    let brought: Vec<PathBuf> = volumes.iter().map(Volume::plain_target).collect();
    // What is below a volume is the host's, which gets no directories of an image's.
    let taken = |path: &Path| {
        brought.iter().any(|volume| path.starts_with(volume)) || OF_THE_KERNEL.iter().any(|own| path.starts_with(own))
    };
    let named = config.volumes.iter().filter_map(Volume::directory);
    let mut directories: Vec<Volume> = named.filter(|volume| !taken(&volume.target)).collect();
    directories.sort_by(|one, other| one.target.cmp(&other.target));
    directories.dedup();
    directories
}

/// The number of the signal that the image wants to be stopped with. One that is not known, or is a real-time signal, is
/// SIGTERM, as none is.
fn stop_signal(name: &str) -> Option<i32> {
    let number = match name.strip_prefix("SIG").unwrap_or(name) {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "KILL" => 9,
        "USR1" => 10,
        "USR2" => 12,
        "TERM" => 15,
        "WINCH" => 28,
        "PWR" => 30,
        number => number.parse().ok()?,
    };
    (1..=31).contains(&number).then_some(number)
}

/// What `pid: host` means to a worker in a PID namespace of its own, as in a container of an engine: its own one. Most
/// actions that ask for it do not need the machine's, so that this is only said; what can do nothing else is refused.
fn host_pid_of_a_container(spec: &ContainerSpec) -> Result<(), String> {
    // Its last call fails outside of the machine's namespace, and it does not look at that.
    if spec.image.repository().rsplit('/').next() == Some(KEXEC) {
        return Err(format!(
            "the machine's PID namespace is not to be had, without which {} does nothing: this worker has a namespace of \
             its own; start it with `--pid host` or give it the engine's socket",
            spec.image
        ));
    }
    tracing::warn!(
        container = spec.identity.container_name(),
        "`pid: host` gives the action the worker's PID namespace, which is not the machine's: it does not see the \
         machine's processes, and kexec, reboot and signals to process 1 do not reach the machine"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action() -> ContainerSpec {
        let (environment, volumes) = (vec!["A=action".to_owned()], vec!["/dev:/dev".to_owned()]);
        ContainerSpec { environment, volumes, ..crate::spec::action() }
    }

    fn image() -> ProcessConfig {
        ProcessConfig {
            entrypoint: vec!["/entry".to_owned()],
            cmd: vec!["default".to_owned()],
            env: vec!["A=image".to_owned()],
            working_dir: "srv".to_owned(),
            user: "1000:1000".to_owned(),
            ..ProcessConfig::default()
        }
    }

    fn translated(action: &ContainerSpec) -> Result<Spec, String> {
        translate(action, "id", Path::new("/run/id"), vec!["/layer".into()], &image())
    }

    #[test]
    fn the_image_says_what_the_action_leaves_out() {
        let spec = translated(&action()).unwrap();
        assert_eq!(spec.env, ["A=image", "A=action"], "the last of a name wins");
        assert_eq!((spec.cwd.as_str(), spec.user.as_deref()), ("/srv", Some("1000:1000")));
        assert_eq!((spec.pid, spec.network), (PidNamespace::Private, Network::Host));
        spec.check().unwrap();
    }

    #[test]
    fn the_images_volumes_are_directories_where_the_action_brings_none() {
        let volumes = |paths: &[&str], given: &[&str]| -> Vec<String> {
            let image = ProcessConfig { volumes: paths.iter().map(|path| (*path).to_owned()).collect(), ..image() };
            let action =
                ContainerSpec { volumes: given.iter().map(|volume| (*volume).to_owned()).collect(), ..action() };
            let spec = translate(&action, "id", Path::new("/run/id"), vec!["/layer".into()], &image).unwrap();
            let (of_action, of_image) = spec.volumes.split_at(given.len());
            assert!(of_action.iter().all(|volume| volume.source.is_some()));
            assert!(of_image.iter().all(|volume| volume.source.is_none() && !volume.read_only));
            of_image.iter().map(|volume| volume.target.display().to_string()).collect()
        };
        assert_eq!(volumes(&["/z", "/a/b", "/m/../a/", "/database"], &[]), ["/a", "/a/b", "/database", "/z"]);
        assert_eq!(volumes(&["/data", "/data/sub", "/database", "/z"], &["/host:/data/."]), ["/database", "/z"]);
        assert_eq!(volumes(&["/data"], &["/host:/data/sub"]), ["/data"], "only a part of it is brought");
        assert!(volumes(&["", "/", "/..", "relative", "./x", "/a\0b"], &[]).is_empty());
        assert!(volumes(&["/dev", "/dev/shm", "/proc/x", "/sys/fs/cgroup"], &[]).is_empty());
        assert!(volumes(&["/dev/x"], &["/dev:/dev"]).is_empty());
    }

    #[test]
    fn the_image_says_by_which_signal_it_is_stopped() {
        for (name, number) in [
            ("SIGQUIT", Some(3)),
            ("INT", Some(2)),
            ("15", Some(15)),
            ("", None),
            ("SIGRTMIN+3", None),
            ("64", None),
            ("nonsense", None),
        ] {
            assert_eq!(stop_signal(name), number, "{name}");
        }
    }

    #[test]
    fn kexec_is_refused_where_it_could_do_nothing_and_others_are_not() {
        let of = |image: &str| ContainerSpec { image: tink_workflow::ImageRef::parse(image).unwrap(), ..action() };
        let error = host_pid_of_a_container(&of("quay.io/tinkerbell/actions/kexec:v1")).unwrap_err();
        assert!(error.contains("actions/kexec:v1") && error.contains("--pid host"), "{error}");
        host_pid_of_a_container(&of("quay.io/tinkerbell/actions/image2disk:v1")).unwrap();
    }

    #[test]
    fn a_long_name_keeps_the_end_that_tells_runs_apart() {
        let name = |attempt: u32| format!("tinkerbell_{}_01JABCDEF_{attempt}", "x".repeat(300));
        assert_eq!(container_id(&name(2)).len(), ID_BYTES_MAX);
        assert_ne!(container_id(&name(2)), container_id(&name(3)));
        assert_eq!(container_id("tinkerbell_a_1"), "tinkerbell_a_1");
    }
}
