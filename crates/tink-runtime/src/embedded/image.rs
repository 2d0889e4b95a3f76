//! Images: pulled from registries, or imported.

use std::path::Path;

use tink_image::{Credential, ImageError, LayerState, ProxyConfig, PullSource, RegistryConfig};
use tink_workflow::ImageRef;

use super::EmbeddedRuntime;
use crate::{Operation, Options, Progress, PullOutcome, PullProgress, RegistryCredentials, RuntimeError};

impl EmbeddedRuntime {
    pub(super) async fn pull_image(&self, image: &ImageRef, progress: &Progress) -> Result<PullOutcome, RuntimeError> {
        // Here and not at a start, where every millisecond counts.
        self.prune_detached().await;
        let (layers, mut news) = tink_image::Progress::new();
        let mut pull = std::pin::pin!(self.store.pull(&self.registries, image, &layers));
        let outcome = loop {
            tokio::select! {
                outcome = &mut pull => break outcome,
                Ok(()) = news.changed() => progress.set(summed(&news.borrow_and_update())),
            }
        };
        progress.set(summed(&news.borrow()));
        match outcome {
            Ok(pulled) => Ok(match pulled.source {
                PullSource::Registry | PullSource::Here => PullOutcome::Registry,
                PullSource::LocalAfter(error) => PullOutcome::Local(pull_error(image, &error)),
            }),
            Err(error) => Err(pull_error(image, &error)),
        }
    }

    /// Imports the images of an OCI layout or a `docker save` archive, packed or not, and answers with their names.
    /// `name` overrides the name of a single image.
    ///
    /// # Errors
    /// Permanent when the file is no such thing or the store has no room for it.
    pub async fn import(&self, path: &Path, name: Option<&ImageRef>) -> Result<Vec<ImageRef>, RuntimeError> {
        match self.store.import(path, name, &tink_image::Progress::none()).await {
            Ok(images) => Ok(images.into_iter().map(|image| image.reference).collect()),
            Err(error) => Err(failure(Operation::Import, &path.display().to_string(), &error)),
        }
    }

    /// Whether the image is in the store, without asking a registry.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_image(&self, image: &ImageRef) -> Result<bool, RuntimeError> {
        self.store.get(image).map(|found| found.is_some()).map_err(|error| pull_error(image, &error))
    }
}

/// What the options say of registries; proxies are those of the environment.
pub(super) fn registry_config(options: &Options) -> RegistryConfig {
    RegistryConfig {
        credentials: options.credentials.iter().filter(|one| names_a_registry(one)).map(credential).collect(),
        insecure: options.insecure_registries.clone(),
        certs_d: options.certs_d.clone(),
        extra_ca_files: options.extra_ca_files.clone(),
        proxy: ProxyConfig::from_env(),
        ..RegistryConfig::default()
    }
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

pub(super) fn pull_error(image: &ImageRef, error: &ImageError) -> RuntimeError {
    failure(Operation::Pull, &image.familiar(), error)
}

fn failure(operation: Operation, subject: &str, error: &ImageError) -> RuntimeError {
    if error.retryable() {
        RuntimeError::transient(operation, subject, error.chain())
    } else {
        RuntimeError::permanent(operation, subject, error.chain())
    }
}

fn summed(layers: &tink_image::PullProgress) -> PullProgress {
    let (bytes_done, bytes_total) = layers.bytes();
    let is_done = |state: LayerState| matches!(state, LayerState::Done | LayerState::Present);
    PullProgress {
        bytes_done,
        bytes_total,
        layers_done: layers.layers.iter().filter(|layer| is_done(layer.state)).count(),
        layers_total: layers.layers.len(),
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
