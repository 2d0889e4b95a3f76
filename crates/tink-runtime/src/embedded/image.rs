//! Images: pulled from registries, or imported.

use std::path::Path;
use std::sync::PoisonError;

use tink_image::{Image, ImageError, PullSource};
use tink_workflow::ImageRef;
use tokio::sync::watch;

use super::EmbeddedRuntime;
use crate::progress::short_name;
use crate::registry::{failure, pull_error};
use crate::{LayerProgress, LayerState, Operation, Progress, PullOutcome, PullProgress, RuntimeError};

/// More pulls than can be under way at once.
const PULLED_MAX: usize = 64;

impl EmbeddedRuntime {
    pub(super) async fn pull_image(&self, image: &ImageRef, progress: &Progress) -> Result<PullOutcome, RuntimeError> {
        // Here and not at a start, where every millisecond counts.
        self.prune_detached().await;
        let (layers, news) = tink_image::Progress::new();
        let outcome = told(self.store.pull(&self.registries, image, &layers), news, progress).await;
        let pulled = outcome.map_err(|error| pull_error(image, &error))?;
        self.remember_pulled(image);
        Ok(match pulled.source {
            PullSource::Registry | PullSource::Here => PullOutcome::Registry,
            PullSource::LocalAfter(error) => PullOutcome::Local(pull_error(image, &error)),
        })
    }

    fn remember_pulled(&self, image: &ImageRef) {
        let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        pulled.retain(|other| other != image);
        pulled.push_back(image.clone());
        if pulled.len() > PULLED_MAX {
            pulled.pop_front();
        }
    }

    /// An image that was dropped after its pull, for want of room or by hand: it is pulled again. `None` = it never was
    /// pulled; a start alone asks no registry.
    pub(super) async fn pull_dropped(&self, image: &ImageRef) -> Option<Result<Image, ImageError>> {
        let was_pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner).contains(image);
        if !was_pulled {
            return None;
        }
        tracing::info!(%image, "the image was dropped after its pull; pulling it again");
        let pulled = self.store.pull(&self.registries, image, &tink_image::Progress::none()).await;
        Some(pulled.map(|pulled| pulled.image))
    }

    pub(super) async fn import_file(&self, archive: &Path, progress: &Progress) -> Result<Vec<String>, RuntimeError> {
        Ok(self.import(archive, None, progress).await?.iter().map(ImageRef::to_string).collect())
    }

    /// Puts the images on disk. What fails is for the log: they are here all the same, until the power fails.
    pub(super) async fn settle_images(&self) {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.settle()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = error.chain(), "the images would not outlive a loss of power"),
            Err(error) => tracing::warn!(%error, "the images would not outlive a loss of power"),
        }
    }

    /// Imports the images of an OCI layout or a `docker save` archive, packed or not, and answers with their names.
    /// `name` overrides the name of a single image.
    ///
    /// # Errors
    /// Permanent when the file is no such thing or the store has no room for it.
    pub async fn import(
        &self,
        path: &Path,
        name: Option<&ImageRef>,
        progress: &Progress,
    ) -> Result<Vec<ImageRef>, RuntimeError> {
        let (layers, news) = tink_image::Progress::new();
        match told(self.store.import(path, name, &layers), news, progress).await {
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

/// Passes on what the store tells until `work` is done, the last of it included.
async fn told<T>(
    work: impl Future<Output = T>,
    mut news: watch::Receiver<tink_image::PullProgress>,
    progress: &Progress,
) -> T {
    let mut work = std::pin::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            Ok(()) = news.changed() => progress.set(translated(&news.borrow_and_update())),
        }
    };
    progress.set(translated(&news.borrow()));
    outcome
}

fn translated(progress: &tink_image::PullProgress) -> PullProgress {
    let layer = |layer: &tink_image::LayerProgress| LayerProgress {
        name: short_name(&layer.digest),
        bytes_done: layer.bytes_done,
        bytes_total: layer.bytes_total,
        state: match layer.state {
            tink_image::LayerState::Waiting => LayerState::Waiting,
            tink_image::LayerState::Fetching => LayerState::Fetching,
            tink_image::LayerState::Done | tink_image::LayerState::Present => LayerState::Done,
        },
    };
    PullProgress { layers: progress.layers.iter().map(layer).collect() }
}
