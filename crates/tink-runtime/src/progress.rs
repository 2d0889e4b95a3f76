//! What a pull tells whoever watches.

use tokio::sync::watch;

/// How far a pull or an import is: its layers, lowest first, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// The layers.
    pub layers: Vec<LayerProgress>,
}

/// How far one layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// The first digits of its digest, or what else the engine calls it by.
    pub name: String,
    /// Bytes of it that came, compressed as they are.
    pub bytes_done: u64,
    /// Its bytes; 0 where nobody says.
    pub bytes_total: u64,
    /// Where it is.
    pub state: LayerState,
}

/// Where a layer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerState {
    /// Not begun.
    #[default]
    Waiting,
    /// On its way, or being unpacked.
    Fetching,
    /// Here.
    Done,
}

impl PullProgress {
    /// Bytes done and bytes in all, over all layers.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        self.layers.iter().fold((0, 0), |(done, total), layer| {
            (layer.bytes_done.saturating_add(done), layer.bytes_total.saturating_add(total))
        })
    }

    /// How many layers are here.
    #[must_use]
    pub fn layers_done(&self) -> usize {
        self.layers.iter().filter(|layer| layer.state == LayerState::Done).count()
    }

    /// The layers on their way.
    pub fn in_flight(&self) -> impl Iterator<Item = &LayerProgress> {
        self.layers.iter().filter(|layer| layer.state == LayerState::Fetching)
    }
}

/// As many digits as Docker shows.
pub(crate) fn short_name(digest: &tink_image::Digest) -> String {
    digest.hex().chars().take(12).collect()
}

/// The sending end of a pull's progress; only the newest value is kept, so a slow watcher costs nothing.
#[derive(Clone, Debug)]
pub struct Progress(watch::Sender<PullProgress>);

impl Progress {
    /// A progress nobody watches yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(PullProgress::default()))
    }

    /// Watches from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<PullProgress> {
        self.0.subscribe()
    }

    /// Publishes the newest state.
    pub fn set(&self, now: PullProgress) {
        self.0.send_if_modified(|old| {
            let changed = *old != now;
            *old = now;
            changed
        });
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
