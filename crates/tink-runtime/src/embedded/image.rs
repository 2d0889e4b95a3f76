//! Images: pulled from registries, or imported.

use std::path::Path;

use tink_image::{LayerState, PullSource};
use tink_workflow::ImageRef;

use super::EmbeddedRuntime;
use crate::registry::{failure, pull_error};
use crate::{Operation, Progress, PullOutcome, PullProgress, RuntimeError};

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

    pub(super) async fn import_file(&self, archive: &Path) -> Result<Vec<String>, RuntimeError> {
        Ok(self.import(archive, None).await?.iter().map(ImageRef::to_string).collect())
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
