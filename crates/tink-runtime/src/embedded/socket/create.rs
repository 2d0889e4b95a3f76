//! What a client asks for when it creates a container.

use serde::Deserialize;
use tink_workflow::ImageRef;

use crate::{ContainerSpec, Identity, Purpose};

/// The part of Docker's request that says what an action can say.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub(super) struct CreateRequest {
    image: String,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    tty: bool,
    entrypoint: Option<Vec<String>>,
    working_dir: String,
    user: String,
    host_config: Option<HostConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct HostConfig {
    binds: Option<Vec<String>>,
    pid_mode: String,
    network_mode: String,
}

impl CreateRequest {
    /// The container, started on behalf of `parent`. An error is a text for the client.
    pub(super) fn into_spec(self, parent: &Identity) -> Result<ContainerSpec, String> {
        let image = ImageRef::parse(&self.image)
            .map_err(|error| format!("image {:?} is no image reference: {error}", self.image))?;
        for (field, is_set) in [
            ("Entrypoint", self.entrypoint.is_some_and(|words| !words.is_empty())),
            ("WorkingDir", !self.working_dir.is_empty()),
            ("User", !self.user.is_empty()),
        ] {
            if is_set {
                return Err(format!("{field} cannot be set here: the image says it, as for an action"));
            }
        }
        let host = self.host_config.unwrap_or_default();
        Ok(ContainerSpec {
            identity: Identity { purpose: Purpose::Detached, ..parent.clone() },
            image,
            command: self.cmd.unwrap_or_default(),
            environment: self.env.unwrap_or_default(),
            volumes: host.binds.unwrap_or_default(),
            pid: host.pid_mode,
            network: host.network_mode,
            tty: self.tty,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<ContainerSpec, String> {
        let parent = Identity { action_name: "kexec".to_owned(), ..crate::spec::identity() };
        serde_json::from_str::<CreateRequest>(json).unwrap().into_spec(&parent)
    }

    #[test]
    fn what_a_client_sends_is_what_runs() {
        let spec = parsed(
            r#"{"Hostname":"","AttachStdout":true,"Tty":true,"Env":["A=1"],"Cmd":["reboot"],"Image":"alpine","Volumes":null,
               "WorkingDir":"","Entrypoint":null,"HostConfig":{"Binds":["/dev:/dev"],"PidMode":"host","Privileged":true}}"#,
        )
        .unwrap();
        assert_eq!((spec.image.familiar().as_str(), spec.pid.as_str(), spec.tty), ("alpine:latest", "host", true));
        assert_eq!((spec.command, spec.environment), (vec!["reboot".to_owned()], vec!["A=1".to_owned()]));
        assert_eq!((spec.volumes, spec.identity.purpose), (vec!["/dev:/dev".to_owned()], Purpose::Detached));
    }

    #[test]
    fn what_an_action_cannot_say_is_refused_by_name() {
        for (json, named) in [
            (r#"{"Image":"UPPER"}"#, "UPPER"),
            (r#"{"Image":"a","Entrypoint":["sh"]}"#, "Entrypoint"),
            (r#"{"Image":"a","WorkingDir":"/x"}"#, "WorkingDir"),
            (r#"{"Image":"a","User":"nobody"}"#, "User"),
        ] {
            let error = parsed(json).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
