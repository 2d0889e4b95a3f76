//! Pulling an image.

use std::pin::pin;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt as _;
use tink_workflow::ImageRef;

use super::DockerRuntime;
use super::call::Failure;
use super::create::repository;
use super::pull_error::pull_error;
use super::pull_progress::PullTracker;
use crate::{Operation, Progress, PullOutcome, RegistryCredentials, RuntimeError};

/// The longest silence of a pull: docker says nothing while it verifies a big layer.
const IDLE_MAX: Duration = Duration::from_secs(300);

impl DockerRuntime {
    /// The registry first: a tag may have moved. The engine's own copy serves when the registry cannot.
    pub(super) async fn pull_image(&self, image: &ImageRef, progress: &Progress) -> Result<PullOutcome, RuntimeError> {
        let credentials = self.credentials.iter().find(|credentials| credentials.are_for(image));
        let failure = match self.pull_from_registry(image, credentials, progress).await {
            Ok(()) => return self.confirm(image).await,
            Err(failure) => failure,
        };
        let error = pull_error(&failure, image, credentials);
        match self.image_is_here(image).await {
            Ok(true) => Ok(PullOutcome::Local(error)),
            Ok(false) | Err(_) => Err(error),
        }
    }

    async fn pull_from_registry(
        &self,
        image: &ImageRef,
        credentials: Option<&RegistryCredentials>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let options = CreateImageOptions {
            from_image: Some(repository(image)),
            tag: Some(image.version().to_owned()),
            ..CreateImageOptions::default()
        };
        let mut events = pin!(self.client.create_image(Some(options), None, credentials.map(auth)));
        let mut tracker = PullTracker::default();
        loop {
            match tokio::time::timeout(IDLE_MAX, events.next()).await {
                Ok(Some(Ok(event))) => progress.set(tracker.event(&event)),
                Ok(Some(Err(error))) => return Err(error.into()),
                Ok(None) => return Ok(()),
                Err(_) => {
                    return Err(Failure::unreachable(format!("docker said nothing for {} s", IDLE_MAX.as_secs())));
                }
            }
        }
    }

    /// A stream that ended well is believed only when the image is there.
    async fn confirm(&self, image: &ImageRef) -> Result<PullOutcome, RuntimeError> {
        let subject = image.familiar();
        match self.image_is_here(image).await {
            Ok(true) => Ok(PullOutcome::Registry),
            Ok(false) => {
                let reason = "docker ended the pull without an error, but does not have the image";
                Err(RuntimeError::transient(Operation::Pull, subject, reason))
            }
            Err(failure) => Err(failure.into_error(Operation::Pull, subject)),
        }
    }
}

fn auth(credentials: &RegistryCredentials) -> DockerCredentials {
    DockerCredentials {
        username: Some(credentials.username.clone()),
        password: Some(credentials.password.expose().to_owned()),
        serveraddress: Some(credentials.registry.clone()),
        ..DockerCredentials::default()
    }
}
