//! The byte budget.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Store;
use super::free;
use crate::unpack::{Meter, OverBudget};

/// How many bytes the store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(Limit);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Bytes(u64),
    MostOfTheFree,
}

impl Budget {
    /// At most this many bytes: file contents in 4 KiB pages, 1 KiB for every entry, its extended attributes and the
    /// target of a link. What is in use is never dropped; a pull that finds no room fails.
    ///
    /// Layers that two processes unpack at the same moment are counted by each of them alone until they are in the
    /// store.
    #[must_use]
    pub fn bytes(bytes_max: u64) -> Self {
        Self(Limit::Bytes(bytes_max))
    }

    /// Three quarters of what would be free without the store, looked at again whenever a layer is unpacked: of the file
    /// system, and of the memory where that is what holds it.
    #[must_use]
    pub fn most_of_what_is_free() -> Self {
        Self(Limit::MostOfTheFree)
    }

    /// As much as the file system holds.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::bytes(u64::MAX)
    }

    fn bytes_max(self, directory: &Path, stored: u64) -> u64 {
        match self.0 {
            Limit::Bytes(bytes_max) => bytes_max,
            Limit::MostOfTheFree => free::bytes(directory).map_or(u64::MAX, |free| free.saturating_add(stored) / 4 * 3),
        }
    }
}

/// Taken from the budget at once, so that it is not asked for every page.
const GRANT_BYTES: u64 = 4 * 1024 * 1024;

/// What is taken.
pub(super) struct Ledger {
    budget: Budget,
    state: Mutex<Taken>,
}

#[derive(Clone, Copy, Default)]
struct Taken {
    /// What may be taken.
    bytes_max: u64,
    /// By layers in the store, as far as known; other processes may have changed it.
    stored: u64,
    /// By layers being unpacked by this process.
    unpacking: u64,
}

impl Ledger {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, state: Mutex::default() }
    }

    /// A layer was added.
    pub(super) fn stored(&self, bytes: u64) {
        self.with(|taken| taken.stored = taken.stored.saturating_add(bytes));
    }

    /// The store in this directory was counted.
    pub(super) fn counted(&self, directory: &Path, bytes: u64) {
        self.with(|taken| {
            taken.stored = bytes;
            // What is being unpacked is no longer free, and it is the store's.
            taken.bytes_max = self.budget.bytes_max(directory, bytes.saturating_add(taken.unpacking));
        });
    }

    /// A layer of that many bytes was dropped.
    pub(super) fn dropped(&self, bytes: u64) {
        self.with(|taken| taken.stored = taken.stored.saturating_sub(bytes));
    }

    /// Bytes over the budget if `more` were added.
    pub(super) fn excess(&self, more: u64) -> u64 {
        self.with(|taken| {
            taken.stored.saturating_add(taken.unpacking).saturating_add(more).saturating_sub(taken.bytes_max)
        })
    }

    fn take(&self, bytes: u64) -> bool {
        self.with(|taken| {
            let sum = taken.stored.saturating_add(taken.unpacking).saturating_add(bytes);
            let fits = sum <= taken.bytes_max;
            if fits {
                taken.unpacking += bytes;
            }
            fits
        })
    }

    fn give_back(&self, bytes: u64) {
        self.with(|taken| taken.unpacking = taken.unpacking.saturating_sub(bytes));
    }

    fn over(&self) -> OverBudget {
        self.with(|taken| OverBudget {
            bytes_max: taken.bytes_max,
            bytes_in_use: taken.stored.saturating_add(taken.unpacking),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Taken) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Charges one layer; what it took is given back when it is dropped, as the layer is then in the store or gone.
pub(super) struct LayerMeter<'a> {
    store: &'a Store,
    taken: u64,
    left: u64,
}

impl<'a> LayerMeter<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, taken: 0, left: 0 }
    }

    fn grant(&mut self, bytes: u64) -> bool {
        let granted = self.store.inner.ledger.take(bytes);
        if granted {
            self.taken += bytes;
            self.left += bytes;
        }
        granted
    }
}

impl Meter for LayerMeter<'_> {
    fn charge(&mut self, bytes: u64) -> Result<(), OverBudget> {
        if self.left < bytes {
            let needed = bytes - self.left;
            let granted = self.grant(needed.max(GRANT_BYTES)) || self.grant(needed) || {
                if let Err(error) = self.store.make_room(needed) {
                    tracing::warn!(error = %error.chain(), "no room could be made in the image store");
                }
                self.grant(needed)
            };
            if !granted {
                return Err(self.store.inner.ledger.over());
            }
        }
        self.left -= bytes;
        Ok(())
    }
}

impl Drop for LayerMeter<'_> {
    fn drop(&mut self) {
        self.store.inner.ledger.give_back(self.taken);
    }
}
