//! OCI images without an engine: registries, streaming pull, and a store of unpacked layers ready for overlayfs.

mod build;
mod digest;
mod error;
mod import;
mod platform;
mod progress;
mod registry;
mod secret;
mod spec;
mod store;
mod tar;
mod unpack;

pub use build::{Built, Compression, ImageBuilder};
pub use digest::{Digest, DigestError, Hasher};
pub use error::{Cause, ImageError};
pub use platform::Platform;
pub use progress::{LayerProgress, LayerState, Progress, PullProgress};
pub use registry::{Credential, ProxyConfig, Registries, RegistryConfig, Retry, Timeouts};
pub use secret::Secret;
pub use spec::{Descriptor, DocumentError, ImageConfig, ProcessConfig, RootFs};
pub use store::{Budget, Image, ImageSummary, InUse, PullOutcome, PullSource, Reclaimed, Store};
pub use tar::TarError;
pub use tink_workflow::ImageRef;
pub use unpack::{LayerError, Limits, Meter, OverBudget, Unpacked, Whiteouts, unpack_layer};
