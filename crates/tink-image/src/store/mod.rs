//! The store: unpacked layers by digest, images by name, and who uses what.
//!
//! ```text
//! lock                         shared while something is added or taken, exclusive while something is removed
//! layers/sha256/<hex>/         a layer, ready as a lower directory of overlayfs; <hex>.json beside it is its record
//! layers/parents/<hex>/        directories whose attributes come from below (see the `parents` module)
//! portable/…, flat/<hex>/      the same and the merged image, where overlayfs cannot take whiteouts
//! images/<name>.json           an image: configuration and layers
//! tmp/                         what is being made or removed; swept when the store is opened
//! ```
//!
//! A layer's directory appears by one rename, after all its digests were verified, and disappears by one rename: a
//! process that is killed leaves nothing half made but in `tmp`. A layer is in use while anybody holds a shared
//! `flock` on its directory; a child that takes one of its own by the path keeps the layer after the parent is gone.

mod attributes;
mod budget;
mod feed;
mod flat;
mod free;
mod gc;
mod image;
mod import;
mod layer;
mod lock;
mod parents;
mod pull;
mod record;
mod unpacking;

pub use budget::Budget;
pub use gc::Reclaimed;
pub use image::{Image, ImageSummary};
pub use lock::InUse;
pub use pull::{PullOutcome, PullSource};

pub(crate) use layer::Held;
pub(crate) use lock::random_name;
pub(crate) use pull::{blocking, check_layers, parse_config};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::ImageError;
use crate::unpack::{Limits, Whiteouts};

/// The image store in one directory. Cloning shares it; several processes may open the same directory.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    whiteouts: Whiteouts,
    limits: Limits,
    ledger: budget::Ledger,
    boot: String,
}

impl Store {
    /// Opens a store, making the directory if it is missing, and removes what a killed process left behind.
    ///
    /// Whether layers can be stored ready for overlayfs is tried out; where the kernel or the file system refuses
    /// whiteouts or their attribute, layers are stored portably and merged for each image ([`Whiteouts::Portable`]).
    ///
    /// # Errors
    /// [`ImageError::Store`] where the directory cannot be used.
    pub fn open(directory: &Path, budget: Budget) -> Result<Self, ImageError> {
        Self::make_directories(directory)?;
        let whiteouts = layer::supported_whiteouts(directory)?;
        if whiteouts == Whiteouts::Portable {
            tracing::info!(store = %directory.display(), "whiteouts are refused here; images are merged into one directory");
        }
        Self::open_with(directory, budget, whiteouts)
    }

    /// Opens a store that keeps whiteouts in a given way, whatever the file system can do.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(directory: &Path, budget: Budget, whiteouts: Whiteouts) -> Result<Self, ImageError> {
        Self::make_directories(directory)?;
        // Layer paths are handed to mount calls of processes with another working directory.
        let directory = std::path::absolute(directory).map_err(|source| store_error("find", directory, source))?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let ledger = budget::Ledger::new(budget);
        let inner = Inner { directory, whiteouts, limits: Limits::default(), ledger, boot };
        let store = Self { inner: Arc::new(inner) };
        store.sweep()?;
        Ok(store)
    }

    fn make_directories(directory: &Path) -> Result<(), ImageError> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        let make = |path: &Path| {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|source| store_error("make", path, source))
        };
        make(directory)?;
        // Images hold setuid programs: nobody else may reach them on this machine.
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
            .map_err(|source| store_error("set the mode of", directory, source))?;
        for name in ["images", "tmp", "layers", "portable", "flat"] {
            make(&directory.join(name))?;
        }
        Ok(())
    }

    /// The store's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// How this store keeps whiteouts.
    #[must_use]
    pub fn whiteouts(&self) -> Whiteouts {
        self.inner.whiteouts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.directory.join(name)
    }
}

pub(crate) fn store_error(operation: &'static str, path: &Path, source: impl Into<std::io::Error>) -> ImageError {
    ImageError::Store { operation, path: path.to_owned(), source: source.into() }
}
