//! What the server process must know, as it gets it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tink_workflow::ImageRef;

use crate::{Options, RegistryCredentials};

/// One line of JSON on the process's standard input: it holds passwords, which arguments and variables would show.
#[derive(Serialize, Deserialize)]
pub(in crate::embedded) struct Setup {
    /// The container that is served.
    pub(super) container: String,
    /// Images that must not be dropped meanwhile: what will be started later was pulled before.
    pub(super) images: Vec<ImageRef>,
    state_dir: PathBuf,
    docker_socket: PathBuf,
    /// Registry, user name, password.
    credentials: Vec<[String; 3]>,
    insecure_registries: Vec<String>,
    certs_d: Vec<PathBuf>,
    extra_ca_files: Vec<PathBuf>,
    image_bytes_max: Option<u64>,
}

impl Setup {
    pub(in crate::embedded) fn new(container: &str, images: Vec<ImageRef>, options: &Options) -> Self {
        let credential =
            |one: &RegistryCredentials| [one.registry.clone(), one.username.clone(), one.password.expose().to_owned()];
        Self {
            container: container.to_owned(),
            images,
            state_dir: options.state_dir.clone(),
            docker_socket: options.docker_socket.clone(),
            credentials: options.credentials.iter().map(credential).collect(),
            insecure_registries: options.insecure_registries.clone(),
            certs_d: options.certs_d.clone(),
            extra_ca_files: options.extra_ca_files.clone(),
            image_bytes_max: options.image_bytes_max,
        }
    }

    pub(super) fn options(&self) -> Options {
        let credential = |[registry, username, password]: &[String; 3]| {
            RegistryCredentials::new(registry.clone(), username.clone(), password.clone())
        };
        Options {
            docker_socket: self.docker_socket.clone(),
            credentials: self.credentials.iter().map(credential).collect(),
            insecure_registries: self.insecure_registries.clone(),
            certs_d: self.certs_d.clone(),
            extra_ca_files: self.extra_ca_files.clone(),
            image_bytes_max: self.image_bytes_max,
            ..Options::new(&self.state_dir)
        }
    }
}
