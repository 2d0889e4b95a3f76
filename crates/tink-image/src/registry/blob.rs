//! A blob as a stream that survives broken connections.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use http::StatusCode;
use http::header::{CONTENT_RANGE, RANGE};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tink_workflow::ImageRef;

use super::Registries;
use super::client::{self, Call, Endpoint};
use super::round::Round;
use crate::error::ImageError;
use crate::spec::Descriptor;

/// Most connections for one blob: a server that gives one byte a connection is not waited for.
const BREAKS_MAX: u32 = 50;

/// The bytes of a blob, in order. After a broken connection it goes on where it stopped, at the same endpoint or the
/// next. The digest is not checked here.
pub struct BlobStream<'a> {
    registries: &'a Registries,
    image: &'a ImageRef,
    blob: &'a Descriptor,
    endpoints: Arc<[Endpoint]>,
    what: String,
    /// Endpoints before this one are not asked (again).
    from: usize,
    open: Option<(usize, Incoming)>,
    /// Bytes handed out.
    offset: u64,
    /// Bytes to drop: the server began at the start although it was asked for the rest.
    skip: u64,
    breaks: u32,
    /// Breaks in a row that brought nothing.
    fruitless: u32,
}

impl<'a> BlobStream<'a> {
    /// A stream that asks the endpoints after the first `skipped` ones first, as those gave wrong bytes.
    ///
    /// # Errors
    /// [`ImageError`], when the registry's settings cannot be used.
    pub fn new(
        registries: &'a Registries,
        image: &'a ImageRef,
        blob: &'a Descriptor,
        skipped: usize,
    ) -> Result<Self, ImageError> {
        let endpoints = registries.endpoints(image.registry())?;
        let what = format!("blob {} of {}", blob.digest, image.repository());
        let from = place_from(&endpoints, skipped).unwrap_or(0);
        Ok(Self {
            registries,
            image,
            blob,
            endpoints,
            what,
            from,
            open: None,
            offset: 0,
            skip: 0,
            breaks: 0,
            fruitless: 0,
        })
    }

    /// The endpoint that gives the bytes.
    #[must_use]
    pub fn endpoint(&self) -> usize {
        self.open.as_ref().map_or(self.from, |(at, _)| *at)
    }

    /// The next bytes, or `None` once the blob's announced size has come.
    ///
    /// # Errors
    /// [`ImageError`], when no endpoint gives the rest.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ImageError> {
        loop {
            if self.offset >= self.blob.size {
                return Ok(None);
            }
            let (at, body) = match &mut self.open {
                Some((at, body)) => (*at, body),
                None => {
                    self.open().await?;
                    continue;
                }
            };
            let silence = self.registries.config().timeouts.silence;
            let broken = match tokio::time::timeout(silence, body.frame()).await {
                Err(_) => "it fell silent".into(),
                Ok(None) => format!("it ended after {} of {} bytes", self.offset, self.blob.size).into(),
                Ok(Some(Err(error))) => Box::new(error) as crate::error::Cause,
                Ok(Some(Ok(frame))) => {
                    let Ok(mut data) = frame.into_data() else { continue };
                    let skipped = usize::try_from(self.skip).map_or(data.len(), |skip| skip.min(data.len()));
                    data.advance(skipped);
                    self.skip -= skipped as u64;
                    let left = usize::try_from(self.blob.size - self.offset).unwrap_or(usize::MAX);
                    data.truncate(left);
                    if data.is_empty() {
                        continue;
                    }
                    self.fruitless = 0;
                    self.offset += data.len() as u64;
                    return Ok(Some(data));
                }
            };
            self.open = None;
            self.pause_after_break(at, broken).await?;
        }
    }

    async fn pause_after_break(&mut self, at: usize, cause: crate::error::Cause) -> Result<(), ImageError> {
        self.breaks += 1;
        self.fruitless += 1;
        let retry = self.registries.config().retry;
        let error = match self.endpoints.get(at) {
            Some(endpoint) => client::unreachable(endpoint, &self.what, cause),
            None => return Ok(()),
        };
        if self.breaks > BREAKS_MAX {
            return Err(error);
        }
        if self.fruitless >= retry.attempts {
            let Some(next) = place_from(&self.endpoints, at + 1) else { return Err(error) };
            self.from = next;
            self.fruitless = 0;
        }
        tracing::debug!(error = %error.chain(), offset = self.offset, "going on with the blob where it broke");
        if self.fruitless > 1 {
            tokio::time::sleep(retry.pause(self.fruitless)).await;
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), ImageError> {
        let from = self.from;
        let endpoints = Arc::clone(&self.endpoints);
        let what = self.what.clone();
        let mut round = Round::new(self.registries, self.image.registry(), &endpoints, &what);
        while let Some(at) = round.next(|at, endpoint| endpoint.pull && at >= from) {
            match self.open_at(&endpoints[at]).await {
                Ok((body, skip)) => {
                    round.answered(at);
                    (self.open, self.skip) = (Some((at, body)), skip);
                    return Ok(());
                }
                Err(error) => round.failed(at, error),
            }
        }
        Err(round.into_error())
    }

    /// The body from our offset on, and how many of its bytes come before that.
    async fn open_at(&self, endpoint: &Endpoint) -> Result<(Incoming, u64), ImageError> {
        let url = endpoint.url(self.image.repository(), &format!("blobs/{}", self.blob.digest));
        let mut call = Call::get(self.what.as_str(), url).scope(self.image.repository(), "pull");
        if self.offset > 0 {
            call = call.header(RANGE, format!("bytes={}-", self.offset));
        }
        let response = self.registries.send(endpoint, &call).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok((response.into_body(), self.offset));
        }
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
        if start == Some(self.offset) {
            return Ok((response.into_body(), 0));
        }
        Err(ImageError::Protocol {
            registry: self.image.registry().to_owned(),
            endpoint: endpoint.name(),
            what: self.what.clone(),
            detail: format!("asked for bytes from {} on, it sends {range:?}", self.offset),
        })
    }
}

/// The first endpoint from this one on that gives blobs. The plain way to another one is no place of its own.
fn place_from(endpoints: &[Endpoint], at: usize) -> Option<usize> {
    let mut places = endpoints.iter().enumerate().skip(at);
    places.find(|(_, endpoint)| endpoint.pull && !endpoint.only_if_unreachable).map(|(at, _)| at)
}
