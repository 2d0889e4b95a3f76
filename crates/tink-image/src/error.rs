//! Everything that can go wrong with an image, and whether trying again may help.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::spec::DocumentError;
use crate::unpack::LayerError;

/// A cause that another crate names.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Why an image could not be had, stored, made or pushed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No connection, or it broke.
    #[error(
        "cannot reach {endpoint} for {what} of registry {registry}; check the name, the network and the proxy \
         (HTTPS_PROXY, NO_PROXY)"
    )]
    Unreachable {
        /// The registry of the reference.
        registry: String,
        /// The registry or mirror that was asked.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// What happened.
        source: Cause,
    },
    /// The certificate lies in the future: this machine's clock is not set yet.
    #[error("the certificate of {endpoint} for registry {registry} is not valid yet; is this machine's clock set?")]
    ClockBehind {
        /// The registry of the reference.
        registry: String,
        /// The registry or mirror that was asked.
        endpoint: String,
        /// What TLS says.
        source: Cause,
    },
    /// The certificate is not trusted.
    #[error(
        "the certificate of {endpoint} for registry {registry} is not accepted; put its CA into \
         certs.d/{registry}/ca.crt, or list the registry as insecure"
    )]
    Certificate {
        /// The registry of the reference.
        registry: String,
        /// The registry or mirror that was asked.
        endpoint: String,
        /// What TLS says.
        source: Cause,
    },
    /// 401 or 403.
    #[error("{endpoint} refuses {what} of registry {registry} with HTTP {status} {}", if *.with_credentials {
        "to the given user; check user name, password and rights"
    } else {
        "to anonymous users; give user name and password for exactly this registry host"
    })]
    Denied {
        /// The registry of the reference.
        registry: String,
        /// The registry or mirror that was asked.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// Whether credentials were sent.
        with_credentials: bool,
    },
    /// 404.
    #[error("{endpoint} has no {what} (registry {registry}, HTTP 404); check name and tag")]
    NotFound {
        /// The registry of the reference.
        registry: String,
        /// The registry or mirror that was asked.
        endpoint: String,
        /// What was asked for.
        what: String,
    },
    /// Any other status.
    #[error("{endpoint} answers HTTP {status} for {what} of registry {registry}{detail}")]
    Status {
        /// The registry of the reference.
        registry: String,
        /// The registry or mirror that was asked.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// What the answer says, if anything.
        detail: String,
    },
    /// The token service did not give a token.
    #[error("the token service {realm} of registry {registry} answers {detail}; check user name and password")]
    Token {
        /// The registry of the reference.
        registry: String,
        /// The token service.
        realm: String,
        /// What it said.
        detail: String,
        /// Whether the same request may succeed later.
        retryable: bool,
    },
    /// An answer that breaks the protocol.
    #[error("{endpoint} breaks the registry protocol for {what} of registry {registry}: {detail}")]
    Protocol {
        /// The registry of the reference.
        registry: String,
        /// The registry or mirror that was asked.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// How.
        detail: String,
    },
    /// Every mirror and the registry itself failed.
    #[error("no endpoint of registry {registry} gave {what}; tried {}", list(.failures))]
    Endpoints {
        /// The registry of the reference.
        registry: String,
        /// What was asked for.
        what: String,
        /// Each endpoint's failure, in the order tried.
        failures: Vec<ImageError>,
    },
    /// The bytes are not the ones that were asked for.
    #[error("{what} from {origin} has the digest {found}, not {expected}: it was damaged or exchanged on the way")]
    Digest {
        /// Manifest or configuration.
        what: &'static str,
        /// Where it came from.
        origin: String,
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// A manifest, index or configuration is larger than any honest one.
    #[error("{what} from {origin} has more than {bytes_max} bytes; it is no image")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Where it came from.
        origin: String,
        /// The limit.
        bytes_max: u64,
    },
    /// A manifest cannot be used.
    #[error("the manifest of {image} cannot be used")]
    Manifest {
        /// The image.
        image: String,
        /// Why.
        source: DocumentError,
    },
    /// A configuration cannot be used.
    #[error("the configuration of {image} cannot be used: {detail}; push the image again with a current tool")]
    Config {
        /// The image.
        image: String,
        /// Why.
        detail: String,
    },
    /// A layer of a kind we do not know.
    #[error(
        "a layer of {image} has the media type {media_type:?}, which is not supported; push it as gzip, zstd or plain tar"
    )]
    LayerType {
        /// The image.
        image: String,
        /// The media type.
        media_type: String,
    },
    /// The image does not exist for this machine.
    #[error("{image} does not exist for {wanted}; it offers {offered}")]
    Platform {
        /// The image.
        image: String,
        /// This machine.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// A layer cannot be unpacked.
    #[error("failed to unpack layer {digest} of {image}")]
    Layer {
        /// The image.
        image: String,
        /// The layer's digest.
        digest: String,
        /// Why.
        source: Box<LayerError>,
    },
    /// The store's file system refuses.
    #[error("failed to {operation} {} in the image store", path.display())]
    Store {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A record in the store is damaged; it was set aside.
    #[error("the record {} in the image store is damaged; pull or import the image again", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// How.
        source: serde_json::Error,
    },
    /// The image is in use and cannot be removed.
    #[error("{image} is in use; stop what runs from it first")]
    InUse {
        /// The image.
        image: String,
    },
    /// The image is not in the store.
    #[error("{image} is not in the image store; pull or import it first")]
    NotHere {
        /// The image.
        image: String,
    },
    /// A file that was to be imported or packed.
    #[error("failed to {operation} {}", path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What was to be imported is no image.
    #[error("{} is not an image that can be imported: {detail}", path.display())]
    Import {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Registry settings that cannot be used.
    #[error("{setting} cannot be used: {detail}")]
    Settings {
        /// Which setting or file.
        setting: String,
        /// Why.
        detail: String,
    },
    /// A worker thread died; nothing of the image was stored.
    #[error("the thread that should {operation} died; this is a bug in tink")]
    Thread {
        /// What it was doing.
        operation: &'static str,
    },
}

impl ImageError {
    /// True where the same call may succeed later with nothing changed on this side: the network, a server in
    /// trouble, a clock that is not set yet. False where somebody has to act first.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::ClockBehind { .. } => true,
            Self::Status { status, .. } => *status >= 500 || matches!(*status, 408 | 425 | 429),
            Self::Token { retryable, .. } => *retryable,
            Self::Endpoints { failures, .. } => failures.iter().any(Self::retryable),
            Self::Layer { source, .. } => matches!(**source, LayerError::Aborted),
            Self::Certificate { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Protocol { .. }
            | Self::Digest { .. }
            | Self::TooLarge { .. }
            | Self::Manifest { .. }
            | Self::Config { .. }
            | Self::LayerType { .. }
            | Self::Platform { .. }
            | Self::Store { .. }
            | Self::Record { .. }
            | Self::InUse { .. }
            | Self::NotHere { .. }
            | Self::File { .. }
            | Self::Import { .. }
            | Self::Settings { .. }
            | Self::Thread { .. } => false,
        }
    }

    /// The error and all its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        tink_error::chain(self)
    }
}

fn list(failures: &[ImageError]) -> String {
    failures.iter().map(ImageError::chain).collect::<Vec<_>>().join("; then ")
}
