//! What a pull has done so far, for whoever watches.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use tokio::sync::watch;

use crate::digest::Digest;

/// Where a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// Not begun.
    Waiting,
    /// Being fetched and unpacked.
    Fetching,
    /// Verified and in the store.
    Done,
    /// Was in the store already; nothing was fetched.
    Present,
}

/// One layer's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// Digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob that arrived.
    pub bytes_done: u64,
    /// Bytes of the blob.
    pub bytes_total: u64,
    /// Where it is.
    pub state: LayerState,
}

/// A pull's or an import's progress: the layers, lowest first. Empty until the manifest is known; of a file with several
/// images those of the one that is being imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// The layers.
    pub layers: Vec<LayerProgress>,
}

impl PullProgress {
    /// Bytes done and bytes in all, over all layers.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        self.layers.iter().fold((0, 0), |(done, total), layer| (done + layer.bytes_done, total + layer.bytes_total))
    }
}

/// The sending half, handed to a pull. Cloning shares it; a watcher that is slow or gone costs nothing.
#[derive(Clone, Debug)]
pub struct Progress {
    sender: Arc<watch::Sender<PullProgress>>,
}

impl Progress {
    /// A progress and its first watcher.
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<PullProgress>) {
        let (sender, receiver) = watch::channel(PullProgress::default());
        (Self { sender: Arc::new(sender) }, receiver)
    }

    /// A progress that nobody watches.
    #[must_use]
    pub fn none() -> Self {
        Self::new().0
    }

    /// All layers are known, and none has begun.
    pub(crate) fn begin(&self, layers: Vec<LayerProgress>) {
        self.sender.send_replace(PullProgress { layers });
    }

    /// `bytes` more of layer `index` arrived.
    pub(crate) fn add(&self, index: usize, bytes: u64) {
        self.sender.send_modify(|all| {
            if let Some(layer) = all.layers.get_mut(index) {
                layer.state = LayerState::Fetching;
                layer.bytes_done = layer.bytes_done.saturating_add(bytes).min(layer.bytes_total);
            }
        });
    }

    /// Layer `index` is now in `state`; done and present layers are complete, waiting ones begin anew.
    pub(crate) fn set(&self, index: usize, state: LayerState) {
        self.sender.send_modify(|all| {
            if let Some(layer) = all.layers.get_mut(index) {
                layer.state = state;
                layer.bytes_done = match state {
                    LayerState::Waiting => 0,
                    LayerState::Fetching => layer.bytes_done,
                    LayerState::Done | LayerState::Present => layer.bytes_total,
                };
            }
        });
    }
}

/// Counts what is read of a layer.
pub(crate) struct Counted<'a, S> {
    pub(crate) source: S,
    pub(crate) progress: &'a Progress,
    /// Which layer.
    pub(crate) at: usize,
}

impl<S: BufRead> BufRead for Counted<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.source.consume(amount);
        if amount > 0 {
            self.progress.add(self.at, amount as u64);
        }
    }
}

impl<S: BufRead> Read for Counted<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let have = self.fill_buf()?;
        let n = have.len().min(buffer.len());
        buffer[..n].copy_from_slice(&have[..n]);
        self.consume(n);
        Ok(n)
    }
}
