//! One question to the endpoints of a registry, in order, until one answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Endpoint, Registries};
use crate::error::ImageError;

/// Who was asked so far, and what they said.
pub(super) struct Round<'a> {
    registries: &'a Registries,
    registry: &'a str,
    what: &'a str,
    endpoints: &'a Arc<[Endpoint]>,
    next: usize,
    failures: Vec<ImageError>,
    /// The endpoint before could not be reached: the plain way may be taken.
    unreachable: bool,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        registries: &'a Registries,
        registry: &'a str,
        endpoints: &'a Arc<[Endpoint]>,
        what: &'a str,
    ) -> Self {
        Self { registries, registry, what, endpoints, next: 0, failures: Vec::new(), unreachable: false }
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
            } else if !endpoint.only_if_unreachable || (self.unreachable && !self.speaks_tls_before(at)) {
                return Some(at);
            }
        }
        None
    }

    fn speaks_tls_before(&self, at: usize) -> bool {
        self.before(at).is_some_and(|endpoint| endpoint.answers.load(Ordering::Relaxed))
    }

    /// The endpoint that this one is the plain way to.
    fn before(&self, at: usize) -> Option<&Endpoint> {
        at.checked_sub(1).and_then(|before| self.endpoints.get(before))
    }

    /// The endpoint answered. If it is the plain way to one that did not, that one is not tried again.
    pub(super) fn answered(&self, at: usize) {
        if self.is_plain_way(at)
            && let Some(before) = self.before(at)
        {
            before.down.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&mut self, at: usize, error: ImageError) {
        self.unreachable = matches!(error, ImageError::Unreachable { .. });
        if self.is_plain_way(at)
            && let Some(before) = at.checked_sub(1).and_then(|before| self.endpoints.get(before))
        {
            // One that is known to be down was not asked and has not failed.
            if !before.down.load(Ordering::Relaxed) {
                // The plain way's failure replaces the one of the TLS that nobody promised.
                self.failures.pop();
                if is_answer_of_tls_server(&error) {
                    // TLS was broken by accident: it is asked again, and patiently, as there is no other way.
                    before.answers.store(true, Ordering::Relaxed);
                    self.next = at - 1;
                    return;
                }
            }
        }
        self.failures.push(error);
    }

    fn is_plain_way(&self, at: usize) -> bool {
        self.endpoints.get(at).is_some_and(|endpoint| endpoint.only_if_unreachable)
    }

    /// What all of them said. The settings of the registry are read anew when it is next asked: whoever has to act may
    /// have put a certificate or a mirror there meanwhile.
    pub(super) fn into_error(mut self) -> ImageError {
        self.registries.forget(self.registry);
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

/// What web servers say on a TLS port to a request without TLS. A registry's own words would be its protocol's.
fn is_answer_of_tls_server(error: &ImageError) -> bool {
    matches!(error, ImageError::Status { status: 400, detail, .. } if !detail.contains("\"errors\""))
}
