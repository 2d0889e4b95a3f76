//! One layer from any source of bytes into the store. Blocking.

use std::io::BufRead;

use super::budget::LayerMeter;
use super::{Held, Store};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::unpack::{Expected, LayerError, unpack_verified};

impl Store {
    /// Unpacks, verifies and publishes a layer.
    pub(super) fn unpack_into(
        &self,
        source: impl BufRead,
        expected: &Expected,
        label: &Label,
    ) -> Result<Held, ImageError> {
        self.recount()?;
        let temporary = self.temporary()?;
        let mut meter = LayerMeter::new(self);
        let (whiteouts, limits) = (self.inner.whiteouts, self.inner.limits);
        let result = unpack_verified(source, expected, temporary.path(), whiteouts, limits, &mut meter);
        let (unpacked, diff_id) = result.map_err(|source| label.error(source))?;
        if unpacked.xattrs_dropped + unpacked.devices_dropped > 0 {
            tracing::warn!(
                layer = label.layer,
                image = label.image,
                xattrs = unpacked.xattrs_dropped,
                devices = unpacked.devices_dropped,
                "extended attributes or devices of a layer were not taken over"
            );
        }
        self.publish_layer(&self.layer_name(&diff_id), temporary, &diff_id, unpacked)
    }
}

/// What errors and logs call a layer.
#[derive(Clone)]
pub(super) struct Label {
    pub(super) image: String,
    pub(super) layer: String,
}

impl Label {
    pub(super) fn new(image: &impl ToString, layer: &Digest) -> Self {
        Self { image: image.to_string(), layer: layer.to_string() }
    }

    pub(super) fn error(&self, source: LayerError) -> ImageError {
        ImageError::Layer { image: self.image.clone(), digest: self.layer.clone(), source: Box::new(source) }
    }
}
