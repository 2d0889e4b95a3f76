//! Sending blobs and manifests to a registry itself; mirrors are not pushed to.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{Method, Uri};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use tink_workflow::ImageRef;
use tokio::sync::mpsc;

use super::client::{Body, Call, resolve};
use super::round::Round;
use super::{Endpoint, Registries};
use crate::error::ImageError;
use crate::spec::Descriptor;

const PIECE_BYTES: usize = 256 * 1024;

/// Sends to one repository.
pub(crate) struct Upload<'a> {
    registries: &'a Registries,
    image: &'a ImageRef,
    endpoints: Arc<[Endpoint]>,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(registries: &'a Registries, image: &'a ImageRef) -> Result<Self, ImageError> {
        Ok(Self { registries, image, endpoints: registries.endpoints(image.registry())? })
    }

    /// Sends a blob unless the registry has it.
    pub(crate) async fn blob(&self, blob: &Descriptor, file: &Path) -> Result<(), ImageError> {
        let what = format!("the upload of blob {} to {}", blob.digest, self.image.repository());
        let mut round = Round::new(self.registries, self.image.registry(), &self.endpoints, &what);
        while let Some(at) = round.next(|_, endpoint| endpoint.push && !endpoint.is_mirror()) {
            match self.blob_to(&self.endpoints[at], blob, file, &what).await {
                Ok(()) => {
                    round.answered(at);
                    return Ok(());
                }
                Err(error) => round.failed(at, error),
            }
        }
        Err(round.into_error())
    }

    async fn blob_to(&self, endpoint: &Endpoint, blob: &Descriptor, file: &Path, what: &str) -> Result<(), ImageError> {
        let repository = self.image.repository();
        let url = endpoint.url(repository, &format!("blobs/{}", blob.digest));
        let known = self.call(Method::HEAD, what, url);
        match self.registries.send(endpoint, &known).await {
            Ok(_) => return Ok(()),
            Err(ImageError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let url = endpoint.url(repository, "blobs/uploads/");
        let base: Option<Uri> = url.parse().ok();
        let begin = self.call(Method::POST, what, url).header(CONTENT_LENGTH, 0);
        let begun = self.registries.send(endpoint, &begin).await?;
        let location = begun.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let to = base.and_then(|base| resolve(&base, location)).ok_or_else(|| ImageError::Protocol {
            registry: self.image.registry().to_owned(),
            endpoint: endpoint.name(),
            what: what.to_owned(),
            detail: "it does not say where the blob is to be sent to".to_owned(),
        })?;
        let separator = if to.query().is_some() { '&' } else { '?' };
        let to = format!("{to}{separator}digest={}", blob.digest);
        let path = file.to_owned();
        let put = self
            .call(Method::PUT, what, to)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, blob.size)
            .payload(move || file_body(path.clone()));
        self.registries.send(endpoint, &put).await.map(drop)
    }

    /// Sends the manifest under a tag or its digest.
    pub(crate) async fn manifest(&self, media_type: &str, bytes: Bytes, version: &str) -> Result<(), ImageError> {
        let what = format!("the upload of the manifest of {}:{version}", self.image.repository());
        let mut round = Round::new(self.registries, self.image.registry(), &self.endpoints, &what);
        while let Some(at) = round.next(|_, endpoint| endpoint.push && !endpoint.is_mirror()) {
            let endpoint = &self.endpoints[at];
            let url = endpoint.url(self.image.repository(), &format!("manifests/{version}"));
            let body = bytes.clone();
            let put = self
                .call(Method::PUT, &what, url)
                .header(CONTENT_TYPE, media_type)
                .payload(move || Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync());
            match self.registries.send(endpoint, &put).await {
                Ok(_) => {
                    round.answered(at);
                    return Ok(());
                }
                Err(error) => round.failed(at, error),
            }
        }
        Err(round.into_error())
    }

    fn call(&self, method: Method, what: &str, url: String) -> Call {
        Call::new(method, what, url).scope(self.image.repository(), "pull,push")
    }
}

/// A file as a body, read by a thread that may block, a few pieces ahead.
fn file_body(path: PathBuf) -> Body {
    let (sender, receiver) = mpsc::channel::<std::io::Result<Frame<Bytes>>>(4);
    tokio::task::spawn_blocking(move || {
        let mut file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let frame = match (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece) {
                Ok(0) => return,
                Ok(_) => Ok(Frame::data(piece.into())),
                Err(error) => Err(error),
            };
            // Nobody listens any more: the request ended before its body.
            if frame.is_err() | sender.blocking_send(frame).is_err() {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    StreamBody::new(stream).boxed_unsync()
}
