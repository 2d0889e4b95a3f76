//! What an action says becomes what `tink-oci` does.

use std::path::{Path, PathBuf};

use tink_image::ProcessConfig;
use tink_oci::{Network, PidNamespace, Spec, Volume};

use crate::ContainerSpec;

/// What a container id may have at most: it names a cgroup, too.
const ID_BYTES_MAX: usize = 128;

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
    let mut wanted = Spec::new(id, dir, layers);
    let command = if spec.command.is_empty() { &config.cmd } else { &spec.command };
    wanted.args = [config.entrypoint.as_slice(), command].concat();
    wanted.env = [config.env.as_slice(), &spec.environment].concat();
    wanted.cwd = Path::new("/").join(&config.working_dir).to_string_lossy().into_owned();
    wanted.user = (!config.user.is_empty()).then(|| config.user.clone());
    wanted.volumes = spec
        .volumes
        .iter()
        .map(|volume| Volume::parse(volume).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    wanted.pid = pid(&spec.pid)?;
    wanted.network = network(&spec.network)?;
    wanted.tty = spec.tty;
    Ok(wanted)
}

fn pid(text: &str) -> Result<PidNamespace, String> {
    match text {
        "" | "private" => Ok(PidNamespace::Private),
        "host" => Ok(PidNamespace::Host),
        other => Err(format!(
            "the PID namespace {other:?} is not to be had; the embedded runtime has `host` and one of the container's own"
        )),
    }
}

/// There are no bridges: a container that is to reach others uses the host's network.
fn network(text: &str) -> Result<Network, String> {
    match text {
        "" | "host" | "bridge" | "default" => Ok(Network::Host),
        "none" => Ok(Network::Isolated),
        other => Err(format!("the network {other:?} is not to be had; the embedded runtime has `host` and `none`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, Purpose};
    use tink_workflow::{ActionId, ImageRef, WorkerId, WorkflowId};

    fn action() -> ContainerSpec {
        ContainerSpec {
            identity: Identity {
                workflow: WorkflowId::parse("default/w").unwrap(),
                action: ActionId::parse("01J").unwrap(),
                action_name: "hello".to_owned(),
                worker: WorkerId::parse("aa:bb").unwrap(),
                attempt: 1,
                purpose: Purpose::Action,
            },
            image: ImageRef::parse("alpine").unwrap(),
            command: vec![],
            environment: vec!["A=action".to_owned()],
            volumes: vec!["/dev:/dev".to_owned()],
            pid: String::new(),
            network: String::new(),
            tty: false,
        }
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
    fn the_command_replaces_the_images_and_the_entrypoint_stays() {
        assert_eq!(translated(&action()).unwrap().args, ["/entry", "default"]);
        let given = ContainerSpec { command: vec!["given".to_owned()], ..action() };
        assert_eq!(translated(&given).unwrap().args, ["/entry", "given"]);
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
    fn what_cannot_be_had_is_refused_by_name() {
        for (pid, network, volume) in [
            ("container:x", "", "/a:/a"),
            ("", "container:x", "/a:/a"),
            ("", "my-network", "/a:/a"),
            ("", "", "named:/a"),
            ("", "", "/a:relative"),
            ("", "", "/a:/a:nonsense"),
        ] {
            let wrong = ContainerSpec {
                pid: pid.to_owned(),
                network: network.to_owned(),
                volumes: vec![volume.to_owned()],
                ..action()
            };
            let error = translated(&wrong).unwrap_err();
            let named = ["container:x", "my-network", "named", "relative", "nonsense"];
            assert!(named.iter().any(|name| error.contains(name)), "{error}");
        }
    }

    #[test]
    fn a_long_name_keeps_the_end_that_tells_runs_apart() {
        let name = |attempt: u32| format!("tinkerbell_{}_01JABCDEF_{attempt}", "x".repeat(300));
        assert_eq!(container_id(&name(2)).len(), ID_BYTES_MAX);
        assert_ne!(container_id(&name(2)), container_id(&name(3)));
        assert_eq!(container_id("tinkerbell_a_1"), "tinkerbell_a_1");
    }
}
