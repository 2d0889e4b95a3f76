//! OCI images without an engine: registries, streaming pull, and a store of unpacked layers ready for overlayfs.
//!
//! ```no_run
//! # async fn example() -> Result<(), tink_image::ImageError> {
//! use std::path::Path;
//! use tink_image::{Budget, ImageRef, Progress, PullSource, Registries, RegistryConfig, Store};
//!
//! let registries = Registries::new(RegistryConfig::default())?;
//! let store = Store::open(Path::new("/run/tink/images"), Budget::bytes(1 << 30))?;
//! let name = ImageRef::parse("quay.io/tinkerbell/actions/writefile:latest").unwrap();
//! let pulled = store.pull(&registries, &name, &Progress::none()).await?;
//! if let PullSource::LocalAfter(error) = &pulled.source {
//!     eprintln!("the registry failed, the image that is here will do: {}", error.chain());
//! }
//! // `layers` are overlayfs's lower directories, lowest first; they stay while `pulled.image` exists.
//! println!("{:?} {:?}", pulled.image.layers, pulled.image.config.config.entrypoint);
//! # Ok(()) }
//! ```
//!
//! # How a layer travels
//!
//! The connection's bytes go through a bounded channel to a thread of the layer's own, which hashes, inflates, hashes
//! again and writes files in one pass. Nothing compressed is kept. The directory lies in `tmp` until blob digest, size
//! and content digest (`diff_id`) are verified; one rename then makes it part of the store. A broken connection is resumed
//! by a range request, at the same endpoint or the next. A layer whose digest is wrong is fetched once more, from the
//! next endpoint if there is one.
//!
//! # Why an HTTP client of our own
//!
//! The parts that are hard are ours in any case: the order of mirrors and their capabilities, going on with half a
//! blob at another host, credentials that stay with one host, plain HTTP only where it is allowed, errors that say
//! which endpoint failed how. A registry crate over a general HTTP client would add its own token cache, TLS set-up
//! and redirects to work around, and size. So this is hyper, which the gRPC side needs as well, with rustls and ring.
//!
//! [`WebClient`] is the same connections without the registry: for whoever downloads a file by the same proxies and roots.
//!
//! # Limits
//!
//! This crate mounts nothing and runs nothing. It does not verify signatures. It reads Docker's and OCI's image
//! formats, but not Docker's schema 1, encrypted layers or lazily loaded ones. Host names are
//! resolved by the C library. SOCKS proxies, refresh tokens and credential helpers are not supported. Unpacking needs root, as layers hold files of any owner.

mod build;
mod digest;
mod error;
mod import;
mod packed;
mod platform;
mod progress;
mod registry;
mod secret;
mod spec;
mod store;
mod tar;
mod unpack;

pub use build::{Built, Compression, ImageBuilder, IndexBuilder};
pub use digest::{Digest, DigestError, Hasher};
pub use error::{Cause, ImageError};
pub use packed::{PackedArchive, PackedImage};
pub use platform::Platform;
pub use progress::{LayerProgress, LayerState, Progress, PullProgress};
pub use registry::{
    BlobStream, Credential, ProxyConfig, Registries, RegistryConfig, Retry, Timeouts, WebAnswer, WebClient, WebError,
};
pub use secret::Secret;
pub use spec::{Descriptor, DocumentError, ImageConfig, ProcessConfig, RootFs};
pub use store::{Budget, Image, ImageSummary, InUse, PullOutcome, PullSource, Reclaimed, Store};
pub use tar::TarError;
pub use tink_workflow::ImageRef;
pub use unpack::{LayerError, Limits, Meter, OverBudget, Unpacked, Whiteouts, unpack_layer};
