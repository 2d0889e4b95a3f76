//! Pulling: `tink-image` talks to the registry, containerd stores and unpacks.
//!
//! The packed layers are not kept once they are unpacked: on an installer OS they would lie in memory twice.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt as _};
use tink_image::{BlobStream, Descriptor, Digest, ImageError, PackedImage};
use tink_workflow::ImageRef;
use tokio::sync::oneshot;
use tonic::Code;

use super::ContainerdRuntime;
use super::call::{Failure, FailureKind};
use super::content::Labels;
use super::image::{chains, name};
use super::lease::Lease;
use crate::progress::short_name;
use crate::registry::pull_error;
use crate::{LayerProgress, LayerState, Operation, Progress, PullOutcome, PullProgress, RuntimeError};

/// Layers fetched at the same time.
const LAYERS_PARALLEL: usize = 3;
/// Fetches of a layer whose bytes are wrong: each from the next endpoint.
const FETCH_TRIES: usize = 2;

/// Half a pull, or why there is none.
pub(super) enum Fault {
    /// The registry's.
    Registry(ImageError),
    /// containerd's.
    Engine(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Engine(failure)
    }
}

impl From<ImageError> for Fault {
    fn from(error: ImageError) -> Self {
        Self::Registry(error)
    }
}

impl Fault {
    fn into_error(self, image: &ImageRef) -> RuntimeError {
        match self {
            Self::Registry(error) => pull_error(image, &error),
            Self::Engine(failure) => engine_error(failure, Operation::Pull, &image.familiar()),
        }
    }
}

/// What containerd says of an image's bytes stays so, unless it has no room or was not ready.
pub(super) fn engine_error(failure: Failure, operation: Operation, subject: &str) -> RuntimeError {
    let advice = if failure.message.contains("no space left") {
        "; make room where containerd keeps its data, such as with `ctr images rm`"
    } else {
        ""
    };
    let reason = format!("containerd: {}{advice}", failure.message);
    match failure.kind {
        FailureKind::Code(Code::DataLoss | Code::InvalidArgument | Code::Unimplemented) => {
            RuntimeError::permanent(operation, subject, reason)
        }
        _ => RuntimeError::transient(operation, subject, reason),
    }
}

impl ContainerdRuntime {
    pub(super) async fn pull_image(&self, image: &ImageRef, progress: &Progress) -> Result<PullOutcome, RuntimeError> {
        let engine = |failure| engine_error(failure, Operation::Pull, &image.familiar());
        let here = self.unpacked(image).await.map_err(engine)?;
        if here.is_some() && image.digest().is_some() {
            return Ok(PullOutcome::Registry);
        }
        match self.pull_from_registry(image, here.as_ref().map(|here| &here.manifest), progress).await {
            Ok(()) => Ok(PullOutcome::Registry),
            Err(Fault::Registry(error)) if here.is_some() => Ok(PullOutcome::Local(pull_error(image, &error))),
            Err(fault) => Err(fault.into_error(image)),
        }
    }

    async fn pull_from_registry(
        &self,
        image: &ImageRef,
        here: Option<&Digest>,
        progress: &Progress,
    ) -> Result<(), Fault> {
        // With a copy at hand a registry that is away is asked once: an air-gapped site must not pay for each action.
        let packed = self.registries.packed(image, here.is_none()).await?;
        if here == Some(&packed.manifest.digest) {
            Watched::new(&packed, packed.layers.len(), progress);
            return Ok(());
        }
        let lease = self.lease().await?;
        let fetch = |at: usize, news: Watched| self.fetch_layer(&lease, &packed, at, news);
        let stored = self.store(&lease, &packed, progress, fetch).await;
        // In the background of the next call, but before the action needs the memory.
        self.end_lease(lease, stored.is_ok()).await;
        stored
    }

    /// Makes an image part of containerd: the missing layers as `fetch` brings them, then the documents, then the name.
    pub(super) async fn store<F: Future<Output = Result<(), Fault>>>(
        &self,
        lease: &Lease,
        packed: &PackedImage,
        progress: &Progress,
        fetch: impl Fn(usize, Watched) -> F,
    ) -> Result<(), Fault> {
        let chains = chains(&packed.image);
        let mut present = 0;
        for (at, chain) in chains.iter().enumerate() {
            if self.has_snapshot(chain).await? {
                present = at + 1;
            }
        }
        let news = Watched::new(packed, present, progress);
        // Unpacked in order while the later ones arrive.
        let (mut waiting, mut arrivals) = (Vec::new(), Vec::new());
        for at in present..chains.len() {
            let (sender, receiver) = oneshot::channel();
            waiting.push((at, sender));
            arrivals.push(receiver);
        }
        let fetching = stream::iter(waiting).map(|(at, sender)| {
            let fetched = fetch(at, news.clone());
            async move {
                fetched.await?;
                // Nobody listens any more where the unpacking has failed.
                let _ = sender.send(());
                Ok::<(), Fault>(())
            }
        });
        let fetch_all = async {
            let mut fetching = std::pin::pin!(fetching.buffer_unordered(LAYERS_PARALLEL));
            while let Some(result) = fetching.next().await {
                result?;
            }
            Ok::<(), Fault>(())
        };
        let unpack_all = async {
            for (at, arrival) in (present..chains.len()).zip(arrivals) {
                // A fetch that failed ends everything by itself.
                if arrival.await.is_err() {
                    return Ok(());
                }
                let parent = at.checked_sub(1).map_or("", |below| chains[below].as_str());
                let (blob, diff_id) = (&packed.layers[at], &packed.image.rootfs.diff_ids[at]);
                self.unpack_layer(lease, blob, diff_id, parent, &chains[at]).await?;
                news.done(at);
            }
            Ok::<(), Fault>(())
        };
        tokio::try_join!(fetch_all, unpack_all)?;
        self.store_documents(lease, packed, chains.last()).await?;
        Ok(())
    }

    async fn store_documents(
        &self,
        lease: &Lease,
        packed: &PackedImage,
        chain: Option<&String>,
    ) -> Result<(), Failure> {
        let key = format!("containerd.io/gc.ref.snapshot.{}", self.snapshotter);
        let labels: Labels = chain.map(|chain| (key, chain.clone())).into_iter().collect();
        self.write_content(lease, &packed.config, &packed.config_bytes, labels).await?;
        let config = ("containerd.io/gc.ref.content.config".to_owned(), packed.config.digest.to_string());
        self.write_content(lease, &packed.manifest, &packed.manifest_bytes, Labels::from([config])).await?;
        tracing::debug!(image = name(&packed.reference), digest = %packed.manifest.digest, "image stored");
        self.name_image(&packed.reference, &packed.manifest).await
    }

    async fn fetch_layer(&self, lease: &Lease, packed: &PackedImage, at: usize, news: Watched) -> Result<(), Fault> {
        let blob = &packed.layers[at];
        if self.has_content(&blob.digest).await? {
            return Ok(());
        }
        let mut endpoint = 0;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut stream = BlobStream::new(&self.registries, &packed.reference, blob, endpoint)?;
            news.begun(at);
            match self.copy_blob(lease, blob, &mut stream, |bytes| news.came(at, bytes)).await {
                // What containerd was given is not what the digest says.
                Err(Fault::Engine(failure)) if is_damage(&failure) && tries < FETCH_TRIES => {
                    tracing::warn!(layer = %blob.digest, reason = failure.message, "fetching a damaged layer once more");
                    endpoint = stream.endpoint() + 1;
                }
                copied => return copied,
            }
        }
    }

    async fn copy_blob(
        &self,
        lease: &Lease,
        blob: &Descriptor,
        stream: &mut BlobStream<'_>,
        came: impl Fn(u64),
    ) -> Result<(), Fault> {
        let Some(mut upload) = self.upload(lease, blob).await? else { return Ok(()) };
        while let Some(bytes) = stream.next().await? {
            upload.push(&bytes).await?;
            came(bytes.len() as u64);
        }
        Ok(upload.commit(&blob.digest, Labels::new()).await?)
    }
}

fn is_damage(failure: &Failure) -> bool {
    failure.is(Code::FailedPrecondition) && failure.message.contains("digest")
}

/// How far a pull is; layers count when they are unpacked.
#[derive(Clone)]
pub(super) struct Watched {
    progress: Progress,
    now: Arc<Mutex<PullProgress>>,
}

impl Watched {
    /// The lowest `present` layers are here.
    fn new(packed: &PackedImage, present: usize, progress: &Progress) -> Self {
        let layer = |(at, layer): (usize, &Descriptor)| {
            let (bytes_done, state) =
                if at < present { (layer.size, LayerState::Done) } else { (0, LayerState::Waiting) };
            LayerProgress { name: short_name(&layer.digest), bytes_done, bytes_total: layer.size, state }
        };
        let now = PullProgress { layers: packed.layers.iter().enumerate().map(layer).collect() };
        progress.set(now.clone());
        Self { progress: progress.clone(), now: Arc::new(Mutex::new(now)) }
    }

    /// A layer is fetched, from its start.
    pub(super) fn begun(&self, at: usize) {
        self.change(at, |layer| (layer.bytes_done, layer.state) = (0, LayerState::Fetching));
    }

    /// More bytes of it came.
    pub(super) fn came(&self, at: usize, bytes: u64) {
        self.change(at, |layer| layer.bytes_done = layer.bytes_done.saturating_add(bytes).min(layer.bytes_total));
    }

    fn done(&self, at: usize) {
        self.change(at, |layer| (layer.bytes_done, layer.state) = (layer.bytes_total, LayerState::Done));
    }

    fn change(&self, at: usize, change: impl FnOnce(&mut LayerProgress)) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.layers.get_mut(at).map(change);
        self.progress.set(now.clone());
    }
}
