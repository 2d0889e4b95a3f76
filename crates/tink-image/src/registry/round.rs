//! One question to the endpoints of a registry, in order, until one answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Endpoint, Registries};
use crate::error::ImageError;

/// Who was asked so far, and what they said.
pub(super) struct Round<'a> {
    registry: &'a str,
    what: &'a str,
    endpoints: Arc<[Endpoint]>,
    next: usize,
    failures: Vec<ImageError>,
    /// The endpoint before could not be reached: the plain way may be taken.
    unreachable: bool,
}

impl<'a> Round<'a> {
    pub(super) fn new(registries: &Registries, registry: &'a str, what: &'a str) -> Result<Self, ImageError> {
        let endpoints = registries.endpoints(registry)?;
        Ok(Self { registry, what, endpoints, next: 0, failures: Vec::new(), unreachable: false })
    }

    /// The endpoint to ask next, of those that are `able`.
    pub(super) fn next(&mut self, able: impl Fn(usize, &Endpoint) -> bool) -> Option<usize> {
        while let Some(endpoint) = self.endpoints.get(self.next) {
            let at = self.next;
            self.next += 1;
            if !able(at, endpoint) {
                continue;
            }
            if endpoint.down.load(Ordering::Relaxed) {
                self.unreachable = true;
            } else if self.unreachable || !endpoint.only_if_unreachable {
                return Some(at);
            }
        }
        None
    }

    /// The endpoint answered. If it is the plain way to one that did not, that one is not tried again.
    pub(super) fn answered(&self, at: usize) {
        let plain = self.endpoints.get(at).is_some_and(|endpoint| endpoint.only_if_unreachable);
        if plain && let Some(before) = at.checked_sub(1).and_then(|before| self.endpoints.get(before)) {
            before.down.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&mut self, at: usize, error: ImageError) {
        self.unreachable = matches!(error, ImageError::Unreachable { .. });
        // The plain way's failure replaces the one of the TLS that nobody promised.
        if self.endpoints.get(at).is_some_and(|endpoint| endpoint.only_if_unreachable) {
            self.failures.pop();
        }
        self.failures.push(error);
    }

    /// What all of them said.
    pub(super) fn into_error(mut self) -> ImageError {
        match self.failures.len() {
            0 => ImageError::Settings {
                setting: format!("hosts.toml of {}", self.registry),
                detail: format!("no host has the capability to give {}", self.what),
            },
            1 => self.failures.remove(0),
            _ => ImageError::Endpoints {
                registry: self.registry.to_owned(),
                what: self.what.to_owned(),
                failures: self.failures,
            },
        }
    }
}
