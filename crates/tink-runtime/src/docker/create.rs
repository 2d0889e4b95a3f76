//! What docker is told to create.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::CreateContainerOptions;
use tink_workflow::ImageRef;

use super::DockerRuntime;
use super::call::{Failure, LONG, call};
use crate::ContainerSpec;

impl DockerRuntime {
    /// Creates the container and answers with its id.
    pub(super) async fn create(&self, spec: &ContainerSpec, name: &str) -> Result<String, Failure> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..CreateContainerOptions::default() };
        let mut body = create_body(spec);
        if let Some(host) = &mut body.host_config {
            host.log_config = self.log_bound().await?;
        }
        let created = call(LONG, self.client.create_container(Some(options), body)).await?;
        for warning in created.warnings {
            tracing::warn!(container = name, warning, "docker warns of the container");
        }
        Ok(created.id)
    }
}

fn create_body(spec: &ContainerSpec) -> ContainerCreateBody {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let labels: HashMap<_, _> =
        spec.identity.labels().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    ContainerCreateBody {
        image: Some(reference(&spec.image)),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(spec.environment.clone()),
        labels: Some(labels),
        tty: Some(spec.tty),
        host_config: Some(HostConfig {
            privileged: Some(true),
            binds: (!spec.volumes.is_empty()).then(|| spec.volumes.clone()),
            pid_mode: some(&spec.pid),
            network_mode: some(&spec.network),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Registry and repository, as a pull wants them.
pub(super) fn repository(image: &ImageRef) -> String {
    format!("{}/{}", image.registry(), image.repository())
}

/// What docker knows the image as after a pull: a digest says more than the tag beside it.
pub(super) fn reference(image: &ImageRef) -> String {
    match image.digest() {
        Some(digest) => format!("{}@{digest}", repository(image)),
        None => format!("{}:{}", repository(image), image.version()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn spec() -> ContainerSpec {
        ContainerSpec {
            identity: Identity { attempt: 2, ..crate::spec::identity() },
            image: ImageRef::parse("alpine").unwrap(),
            command: vec!["echo".to_owned(), "a b".to_owned()],
            environment: vec!["A=b".to_owned()],
            volumes: vec!["/dev:/dev".to_owned(), "cache:/cache:ro".to_owned()],
            pid: "host".to_owned(),
            network: "container:other".to_owned(),
            tty: true,
        }
    }

    #[test]
    fn what_the_action_says_is_passed_on_verbatim() {
        let body = create_body(&spec());
        assert_eq!(body.image.as_deref(), Some("docker.io/library/alpine:latest"));
        assert_eq!(body.cmd.unwrap(), ["echo", "a b"]);
        assert_eq!(body.env.unwrap(), ["A=b"]);
        assert_eq!(body.tty, Some(true));
        let host = body.host_config.unwrap();
        assert_eq!(host.privileged, Some(true));
        assert_eq!(host.binds.unwrap(), ["/dev:/dev", "cache:/cache:ro"]);
        assert_eq!(host.pid_mode.as_deref(), Some("host"));
        assert_eq!(host.network_mode.as_deref(), Some("container:other"));
        let labels = body.labels.unwrap();
        assert_eq!(labels["org.tinkerbell.action-id"], "01J");
        assert_eq!(labels["org.tinkerbell.attempt"], "2");
        assert_eq!(body.entrypoint, None);
    }

    #[test]
    fn what_the_action_leaves_out_is_left_to_docker() {
        let bare =
            ContainerSpec { command: vec![], volumes: vec![], pid: String::new(), network: String::new(), ..spec() };
        let body = create_body(&bare);
        assert_eq!(body.cmd, None);
        let host = body.host_config.unwrap();
        assert_eq!((host.binds, host.pid_mode, host.network_mode), (None, None, None));
    }

    #[test]
    fn a_digest_says_more_than_a_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = ImageRef::parse(&format!("quay.io/a/b:v1@{digest}")).unwrap();
        assert_eq!(reference(&image), format!("quay.io/a/b@{digest}"));
        assert_eq!(reference(&ImageRef::parse("quay.io/a/b:v1").unwrap()), "quay.io/a/b:v1");
    }
}
