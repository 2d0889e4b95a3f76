//! Pulling: the manifest, then all missing layers side by side, each unpacked while it arrives.

use std::sync::Arc;

use tink_workflow::ImageRef;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::feed::{Piece, feed, pieces_for_each};
use super::image::Described;
use super::unpacking::Label;
use super::{Held, Image, Store};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::progress::{LayerProgress, LayerState, Progress};
use crate::registry::{BlobStream, Registries};
use crate::spec::{Descriptor, ImageConfig, Manifest, layer_is_known};
use crate::unpack::Expected;

/// Layers fetched at the same time, however few cores there are: a registry far away gives one connection little.
const LAYERS_PARALLEL_MIN: usize = 4;
/// And however many there are. Each has a thread that may block, a connection and about half a megabyte of buffers, and
/// of zstd a window of up to 8 MiB where an image was packed with the usual levels.
const LAYERS_PARALLEL_MAX: usize = 16;

/// A pulled image.
#[derive(Debug)]
pub struct PullOutcome {
    /// The image.
    pub image: Image,
    /// Where it is from.
    pub source: PullSource,
}

/// Where a pulled image is from.
#[derive(Debug)]
pub enum PullSource {
    /// The registry named it; what was missing was fetched.
    Registry,
    /// It is named by digest and is here: no registry was asked.
    Here,
    /// The registry could not give it, but an image of this name is here. The error is for the log.
    LocalAfter(ImageError),
}

impl Store {
    /// Pulls an image. What is here already is not fetched again; if the registry fails, an image of that name that is
    /// here will do. Dropping the future stops the pull; layers that are complete by then stay.
    ///
    /// # Errors
    /// [`ImageError`]; see [`ImageError::retryable`].
    pub async fn pull(
        &self,
        registries: &Registries,
        image: &ImageRef,
        progress: &Progress,
    ) -> Result<PullOutcome, ImageError> {
        if image.digest().is_some()
            && let Some(image) = self.get(image)?
        {
            return Ok(PullOutcome { image, source: PullSource::Here });
        }
        match self.pull_from_registry(registries, image, progress).await {
            Ok(image) => Ok(PullOutcome { image, source: PullSource::Registry }),
            Err(error) => match self.get(image)? {
                Some(image) => Ok(PullOutcome { image, source: PullSource::LocalAfter(error) }),
                None => Err(error),
            },
        }
    }

    async fn pull_from_registry(
        &self,
        registries: &Registries,
        image: &ImageRef,
        progress: &Progress,
    ) -> Result<Image, ImageError> {
        // With a copy at hand a registry that is away is asked once: an air-gapped site must not pay for each action.
        let resolved = match self.get(image)? {
            Some(_) => registries.impatient().resolve(image).await?,
            None => registries.resolve(image).await?,
        };
        let manifest = resolved.manifest;
        let id = manifest.config.digest.clone();
        let known = self.find_by_id(&id)?.map(|known| known.config);
        let config = match known {
            Some(config) => config,
            None => {
                let bytes = registries.small_blob(image, &manifest.config).await?;
                parse_config(image, &bytes)?
            }
        };
        check_layers(image, &manifest, &config)?;
        let layers = self.fetch_layers(registries, image, &manifest, &config, progress).await?;
        let described = Described { reference: image.clone(), id, digest: resolved.digest, config };
        let store = self.clone();
        blocking("name an image", move || store.name_image(described, layers)).await
    }

    /// All layers, lowest first, repeated ones once for each time.
    async fn fetch_layers(
        &self,
        registries: &Registries,
        image: &ImageRef,
        manifest: &Manifest,
        config: &ImageConfig,
        progress: &Progress,
    ) -> Result<Vec<Held>, ImageError> {
        progress.begin(begin(&manifest.layers));
        let parallel = match registries.config().layers_parallel {
            0 => one_for_each_core(),
            wanted => wanted,
        };
        let permits = Arc::new(Semaphore::new(parallel));
        let pieces = pieces_for_each(parallel.min(manifest.layers.len()));
        let mut order: Vec<usize> = (0..manifest.layers.len()).collect();
        // The largest first: it must not be the one that everybody waits for in the end.
        order.sort_by_key(|at| std::cmp::Reverse(manifest.layers[*at].size));
        let mut tasks: JoinSet<Result<(usize, Held), ImageError>> = JoinSet::new();
        for at in order {
            let diff_id = &config.rootfs.diff_ids[at];
            if config.rootfs.diff_ids[..at].contains(diff_id) {
                progress.set(at, LayerState::Present);
                continue;
            }
            let fetch = Fetch {
                store: self.clone(),
                registries: registries.clone(),
                image: image.clone(),
                blob: manifest.layers[at].clone(),
                diff_id: diff_id.clone(),
                progress: progress.clone(),
                at,
                pieces,
            };
            let permits = Arc::clone(&permits);
            tasks.spawn(async move {
                let _permit =
                    permits.acquire_owned().await.map_err(|_| ImageError::Thread { operation: "fetch a layer" })?;
                fetch.run().await.map(|held| (at, held))
            });
        }
        let mut layers: Vec<Option<Held>> = manifest.layers.iter().map(|_| None).collect();
        while let Some(done) = tasks.join_next().await {
            let (at, held) = done.map_err(|_| ImageError::Thread { operation: "fetch a layer" })??;
            layers[at] = Some(held);
        }
        let mut all = Vec::new();
        for (at, layer) in layers.into_iter().enumerate() {
            let held = match layer {
                Some(held) => held,
                None => self
                    .hold_layer(&self.layer_name(&config.rootfs.diff_ids[at]))?
                    .ok_or(ImageError::Thread { operation: "fetch a layer" })?,
            };
            all.push(held);
        }
        Ok(all)
    }
}

/// One layer to be fetched.
struct Fetch {
    store: Store,
    registries: Registries,
    image: ImageRef,
    blob: Descriptor,
    diff_id: Digest,
    progress: Progress,
    at: usize,
    /// How many pieces may wait for its unpacker.
    pieces: usize,
}

impl Fetch {
    async fn run(self) -> Result<Held, ImageError> {
        let (store, name) = (self.store.clone(), self.store.layer_name(&self.diff_id));
        let (lock, held) = blocking("wait for a layer", move || {
            let lock = store.lock_layer(&name)?;
            Ok((lock, store.hold_layer(&name)?))
        })
        .await?;
        if let Some(held) = held {
            self.progress.set(self.at, LayerState::Present);
            return Ok(held);
        }
        let result = match self.fetch(0).await {
            // Once more, from the next endpoint if there is one: a second time is no accident.
            Err((ImageError::Layer { source, .. }, endpoint)) if source.is_damage() => {
                tracing::warn!(layer = %self.blob.digest, error = %source, "fetching a damaged layer once more");
                self.progress.set(self.at, LayerState::Waiting);
                self.fetch(endpoint + 1).await
            }
            Err((ImageError::Layer { source, image, digest }, endpoint)) if source.is_full() => {
                let store = self.store.clone();
                if blocking("make room for a layer", move || store.make_all_room()).await? {
                    self.progress.set(self.at, LayerState::Waiting);
                    self.fetch(endpoint).await
                } else {
                    Err((ImageError::Layer { source, image, digest }, endpoint))
                }
            }
            other => other,
        };
        drop(lock);
        let held = result.map_err(|(error, _)| error)?;
        self.progress.set(self.at, LayerState::Done);
        Ok(held)
    }

    /// Fetches from the endpoints after the first `skipped`; an error comes with the endpoint that caused it.
    async fn fetch(&self, skipped: usize) -> Result<Held, (ImageError, usize)> {
        let mut stream =
            BlobStream::new(&self.registries, &self.image, &self.blob, skipped).map_err(|error| (error, skipped))?;
        let (sender, source) = feed(self.pieces);
        let (store, label) = (self.store.clone(), Label::new(&self.image, &self.blob.digest));
        let expected = Expected {
            blob: Some(self.blob.digest.clone()),
            blob_bytes: Some(self.blob.size),
            diff_id: Some(self.diff_id.clone()),
        };
        let unpacking = tokio::task::spawn_blocking(move || store.unpack_into(source, &expected, &label));
        let fetched = loop {
            match stream.next().await {
                Ok(Some(data)) => {
                    let bytes = data.len() as u64;
                    // A closed channel means that the unpacker has given up, and why is its to say.
                    if sender.send(Piece::Data(data)).await.is_err() {
                        break Ok(());
                    }
                    self.progress.add(self.at, bytes);
                }
                Ok(None) => {
                    let _ = sender.send(Piece::End).await;
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        let endpoint = stream.endpoint();
        drop(sender);
        let unpacked = unpacking.await.unwrap_or(Err(ImageError::Thread { operation: "unpack a layer" }));
        match (fetched, unpacked) {
            (_, Ok(held)) => Ok(held),
            // The unpacker stopped because the bytes stopped; why they did is what counts.
            (Err(error), Err(ImageError::Layer { source, .. })) if source.is_starved() => Err((error, endpoint)),
            (_, Err(error)) => Err((error, endpoint)),
        }
    }
}

/// Inflating and hashing keep a core busy with each layer.
fn one_for_each_core() -> usize {
    for_cores(std::thread::available_parallelism().map_or(1, usize::from))
}

fn for_cores(cores: usize) -> usize {
    cores.clamp(LAYERS_PARALLEL_MIN, LAYERS_PARALLEL_MAX)
}

pub(super) fn begin(layers: &[Descriptor]) -> Vec<LayerProgress> {
    let waiting = |layer: &Descriptor| LayerProgress {
        digest: layer.digest.clone(),
        bytes_done: 0,
        bytes_total: layer.size,
        state: LayerState::Waiting,
    };
    layers.iter().map(waiting).collect()
}

pub(crate) fn parse_config(image: &ImageRef, bytes: &[u8]) -> Result<ImageConfig, ImageError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImageError::Config { image: image.to_string(), detail: error.to_string() })
}

/// Manifest and configuration must agree, and every layer be of a kind we know.
pub(crate) fn check_layers(image: &ImageRef, manifest: &Manifest, config: &ImageConfig) -> Result<(), ImageError> {
    let (layers, contents) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != contents {
        let detail = format!("it names {contents} layers, the manifest {layers}");
        return Err(ImageError::Config { image: image.to_string(), detail });
    }
    match manifest.layers.iter().find(|layer| !layer_is_known(&layer.media_type)) {
        None => Ok(()),
        Some(layer) => Err(ImageError::LayerType { image: image.to_string(), media_type: layer.media_type.clone() }),
    }
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(ImageError::Thread { operation }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_at_a_time_follow_the_cores_within_bounds() {
        assert_eq!([1, 2, 4, 5, 12, 16, 17, 256].map(for_cores), [4, 4, 4, 5, 12, 16, 16, 16]);
        assert!((LAYERS_PARALLEL_MIN..=LAYERS_PARALLEL_MAX).contains(&one_for_each_core()));
    }
}
