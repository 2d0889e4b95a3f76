//! Registries: who is asked, in which order, with which credentials, and how bytes come from there.

mod auth;
mod blob;
mod client;
mod config;
mod connect;
mod hosts;
mod manifest;
mod own_certificate;
mod proxy;
mod push;
mod round;
mod tls;
mod web;

pub use config::{Credential, RegistryConfig, Retry, Timeouts};
pub use proxy::ProxyConfig;
pub use web::{WebAnswer, WebClient, WebError};

pub use blob::BlobStream;
pub(crate) use client::Endpoint;
pub(crate) use manifest::{UNDESCRIBED_MAX, check, choose};
pub(crate) use push::Upload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::ImageError;

/// Access to registries: settings, connections and tokens. Cloning shares them.
#[derive(Clone)]
pub struct Registries {
    inner: Arc<Inner>,
    /// Tries of a request that may help when repeated.
    attempts: u32,
}

struct Inner {
    config: RegistryConfig,
    insecure: config::Insecure,
    proxies: Arc<proxy::Proxies>,
    roots: tls::Roots,
    endpoints: Mutex<HashMap<String, Arc<[Endpoint]>>>,
    tokens: Mutex<HashMap<auth::TokenKey, auth::Token>>,
}

impl Registries {
    /// Takes the settings; nothing is dialled.
    ///
    /// # Errors
    /// [`ImageError::Settings`] for a proxy address, an insecure registry or a CA file that cannot be used.
    pub fn new(config: RegistryConfig) -> Result<Self, ImageError> {
        let insecure = config::Insecure::parse(&config.insecure)?;
        let proxies = Arc::new(proxy::Proxies::parse(&config.proxy)?);
        let roots = tls::Roots::load(&config.extra_ca_files)?;
        let (endpoints, tokens) = (Mutex::default(), Mutex::default());
        let attempts = config.retry.attempts;
        Ok(Self { inner: Arc::new(Inner { config, insecure, proxies, roots, endpoints, tokens }), attempts })
    }

    /// The same registries, each asked once: for whoever has another way when one does not answer.
    pub(crate) fn impatient(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), attempts: 1 }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn config(&self) -> &RegistryConfig {
        &self.inner.config
    }

    /// The endpoints of a registry, mirrors first. Settings are read when a registry is first asked for, and again after
    /// none of its endpoints gave what was wanted.
    pub(crate) fn endpoints(&self, registry: &str) -> Result<Arc<[Endpoint]>, ImageError> {
        let mut known = self.inner.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoints) = known.get(registry) {
            return Ok(Arc::clone(endpoints));
        }
        let hosts = hosts::find(&self.inner.config.certs_d, registry)?;
        let endpoints: Arc<[Endpoint]> = client::endpoints(self, registry, hosts)?.into();
        known.insert(registry.to_owned(), Arc::clone(&endpoints));
        Ok(endpoints)
    }

    fn forget(&self, registry: &str) {
        self.inner.endpoints.lock().unwrap_or_else(PoisonError::into_inner).remove(registry);
    }
}
