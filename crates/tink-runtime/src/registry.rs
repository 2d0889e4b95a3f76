//! Registries as `tink-image` knows them, for the engines that leave pulling to it.

use tink_image::{Credential, ImageError, ProxyConfig, RegistryConfig};
use tink_workflow::ImageRef;

use crate::{Operation, Options, RegistryCredentials, RuntimeError};

/// What the options say of registries; proxies are those of the environment.
pub(crate) fn registry_config(options: &Options) -> RegistryConfig {
    RegistryConfig {
        credentials: options.credentials.iter().filter(|one| names_a_registry(one)).map(credential).collect(),
        insecure: options.insecure_registries.clone(),
        certs_d: options.certs_d.clone(),
        extra_ca_files: options.extra_ca_files.clone(),
        proxy: ProxyConfig::from_env(),
        ..RegistryConfig::default()
    }
    .without_unusable()
}

/// Only a registry as it stands in normalised image names has credentials; what is close to one (a URL, another name
/// of Docker Hub) matches nothing, as under Docker.
fn names_a_registry(credentials: &RegistryCredentials) -> bool {
    ImageRef::parse(&format!("{}/a/b", credentials.registry)).is_ok_and(|image| credentials.are_for(&image))
}

fn credential(credentials: &RegistryCredentials) -> Credential {
    Credential {
        registry: credentials.registry.clone(),
        username: credentials.username.clone(),
        password: credentials.password.clone(),
    }
}

pub(crate) fn pull_error(image: &ImageRef, error: &ImageError) -> RuntimeError {
    failure(Operation::Pull, &image.familiar(), error)
}

pub(crate) fn failure(operation: Operation, subject: &str, error: &ImageError) -> RuntimeError {
    if error.retryable() {
        RuntimeError::transient(operation, subject, error.chain())
    } else {
        RuntimeError::permanent(operation, subject, error.chain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_registry_of_image_names_has_credentials() {
        let named = |registry: &str| names_a_registry(&RegistryCredentials::new(registry, "u", "p"));
        for good in ["docker.io", "quay.io", "registry.example.com:5000", "localhost", "[::1]:5000"] {
            assert!(named(good), "{good}");
        }
        for bad in ["", "https://quay.io", "index.docker.io", "quay.io/", "quay.io/x", "library", "quay.io:x"] {
            assert!(!named(bad), "{bad}");
        }
    }
}
