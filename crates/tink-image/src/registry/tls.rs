//! Whom to trust: the built-in CA roots, the system's where there are any, and those that settings add.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::own_certificate::OwnCertificates;
use crate::error::ImageError;

/// Where distributions keep their bundle.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A client's certificate and key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientPair {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// How one endpoint's certificate is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trust {
    pub(super) skip_verify: bool,
    pub(super) ca_files: Vec<PathBuf>,
    pub(super) client: Option<ClientPair>,
}

/// The roots all endpoints share.
pub(super) struct Roots {
    shared: Trusted,
}

/// What certificates are judged by.
#[derive(Clone)]
struct Trusted {
    roots: RootCertStore,
    /// What settings name, which may be a server's own certificate.
    named: Vec<CertificateDer<'static>>,
}

impl Roots {
    pub(super) fn load(extra: &[PathBuf]) -> Result<Self, ImageError> {
        let bundle = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let bundle = bundle.or_else(|| SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file()));
        Self::with_bundle(bundle, extra)
    }

    fn with_bundle(bundle: Option<PathBuf>, extra: &[PathBuf]) -> Result<Self, ImageError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = bundle {
            // A bundle may hold certificates that no TLS library takes; the others still count.
            match CertificateDer::pem_file_iter(&path) {
                Ok(certs) => drop(roots.add_parsable_certificates(certs.flatten())),
                Err(error) => {
                    tracing::warn!(bundle = %path.display(), %error, "the system's CA bundle is not readable")
                }
            }
        }
        let mut shared = Trusted { roots, named: Vec::new() };
        for path in extra {
            shared.add_file(path)?;
        }
        Ok(Self { shared })
    }

    pub(super) fn client_config(&self, trust: &Trust) -> Result<Arc<ClientConfig>, ImageError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let refused = |error: rustls::Error| ImageError::Settings {
            setting: "the TLS set-up".to_owned(),
            detail: error.to_string(),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let builder = if trust.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny::new(&provider)))
        } else {
            let mut trusted = self.shared.clone();
            for path in &trust.ca_files {
                trusted.add_file(path)?;
            }
            let verifier = OwnCertificates::new(trusted.roots, trusted.named, &provider).map_err(|error| {
                ImageError::Settings { setting: "the trusted certificates".to_owned(), detail: error.to_string() }
            })?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        };
        let mut config = match &trust.client {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let certs: Vec<_> = CertificateDer::pem_file_iter(&pair.cert)
                    .and_then(Iterator::collect)
                    .map_err(|error| unusable(&pair.cert, &error))?;
                let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| unusable(&pair.key, &error))?;
                builder.with_client_auth_cert(certs, key).map_err(|error| unusable(&pair.cert, &error))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Trusted {
    /// As in Go, what cannot be read beside a good certificate spoils nothing.
    fn add_file(&mut self, path: &Path) -> Result<(), ImageError> {
        let mut good = 0;
        let mut refused = None;
        for cert in CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))? {
            let added = cert.map_err(|error| error.to_string()).and_then(|cert| {
                self.roots.add(cert.clone()).map_err(|error| error.to_string())?;
                self.named.push(cert);
                Ok(())
            });
            match added {
                Ok(()) => good += 1,
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        match refused {
            Some(error) if good == 0 => Err(unusable(path, &error)),
            Some(error) => {
                tracing::warn!(file = %path.display(), error, "a certificate in the file is passed over");
                Ok(())
            }
            None if good == 0 => Err(unusable(path, &"it holds no certificate in PEM")),
            None => Ok(()),
        }
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> ImageError {
    ImageError::Settings { setting: format!("the certificate file {}", path.display()), detail: error.to_string() }
}

/// Takes any certificate: only for registries that were named insecure.
#[derive(Debug)]
struct AcceptAny {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AcceptAny {
    fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_roots_are_built_in() {
        let roots = Roots::with_bundle(None, &[]).unwrap().shared.roots;
        let has = |name: &str| {
            roots.roots.iter().any(|root| root.subject.windows(name.len()).any(|part| part == name.as_bytes()))
        };
        // Those of Docker Hub, quay.io, ghcr.io and of whoever uses Let's Encrypt.
        for name in ["ISRG Root X1", "Amazon Root CA 1", "DigiCert Global Root G2", "USERTrust ECC"] {
            assert!(has(name), "{name}");
        }
    }
}
