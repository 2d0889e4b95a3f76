//! Whom the worker trusts.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tracing::{info, warn};

use super::{CertUrl, GrpcError, GrpcSettings, Proxy, cert_url, pinned};

/// Where the trust of a connection comes from.
pub(super) enum Source {
    /// The settings say it once and for all.
    Fixed(Arc<ClientConfig>),
    /// It is fetched before each connection: a server that was set up anew has another certificate.
    Fetched(Box<Fetched>),
}

/// A certificate that is fetched, and the one that was fetched last.
pub(super) struct Fetched {
    url: CertUrl,
    proxy: Proxy,
    /// For a URL of https.
    web: Arc<ClientConfig>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    certificates: Vec<CertificateDer<'static>>,
    /// What was logged of the last failure; empty after a success.
    failure: String,
}

impl Source {
    pub(super) fn new(settings: &GrpcSettings) -> Result<Self, GrpcError> {
        let url = settings.cert_url.as_ref().filter(|_| !settings.insecure_tls);
        let Some(url) = url else { return Ok(Self::Fixed(client_config(settings)?)) };
        let mut web = ClientConfig::clone(client_config(settings)?.as_ref());
        web.alpn_protocols = Vec::new();
        Ok(Self::Fetched(Box::new(Fetched {
            url: url.clone(),
            proxy: settings.proxy.clone(),
            web: Arc::new(web),
            last: Mutex::default(),
        })))
    }

    /// The configuration for a connection that is made now.
    pub(super) async fn config(&self) -> io::Result<Arc<ClientConfig>> {
        match self {
            Self::Fixed(config) => Ok(Arc::clone(config)),
            Self::Fetched(fetched) => fetched.config().await,
        }
    }
}

impl Fetched {
    async fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let certificates = match cert_url::fetch(&self.url, &self.proxy, &self.web).await {
            Ok(certificates) => self.fetched(certificates),
            Err(failure) => self.last_good(failure)?,
        };
        pinned::client_config(&certificates)
            .map_err(|error| io::Error::other(format!("use the certificate from {}: {error}", self.url)))
    }

    fn fetched(&self, certificates: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.certificates != certificates {
            info!(url = %self.url, certificates = certificates.len(), "the server's certificate was fetched");
        }
        *last = Last { certificates: certificates.clone(), failure: String::new() };
        certificates
    }

    /// What was fetched before goes on to be trusted when its source is away.
    fn last_good(&self, failure: io::Error) -> io::Result<Vec<CertificateDer<'static>>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let text = failure.to_string();
        if last.failure != text {
            warn!(error = text, "the server's certificate cannot be had; the worker keeps trying");
            last.failure = text;
        }
        if last.certificates.is_empty() { Err(failure) } else { Ok(last.certificates.clone()) }
    }
}

/// A TLS configuration for HTTP/2: the system's roots, the built-in ones, and those of the CA file.
fn client_config(settings: &GrpcSettings) -> Result<Arc<ClientConfig>, GrpcError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| GrpcError::Tls { source })?;
    let mut config = if settings.insecure_tls {
        warn!(server = settings.server, "the server's certificate is not verified (-grpc-insecure-tls)");
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(settings.ca_file.as_deref())?).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, GrpcError> {
    // The built-in roots are for images made from scratch, which have no /etc/ssl.
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let failed = |reason: String| GrpcError::CaFile { path: path.to_owned(), reason };
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("it holds no certificate".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok(roots)
}

/// Takes any certificate, as `-grpc-insecure-tls` asks for; the handshake's signatures are checked all the same.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
