//! Whom to trust: the built-in CA roots, the system's where there are any, and those that settings add.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
    shared: RootCertStore,
}

impl Roots {
    pub(super) fn load(extra: &[PathBuf]) -> Result<Self, ImageError> {
        let mut shared = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let bundle = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let bundle = bundle.or_else(|| SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file()));
        if let Some(path) = bundle {
            // A bundle may hold certificates that no TLS library takes; the others still count.
            match CertificateDer::pem_file_iter(&path) {
                Ok(certs) => drop(shared.add_parsable_certificates(certs.flatten())),
                Err(error) => {
                    tracing::warn!(bundle = %path.display(), %error, "the system's CA bundle is not readable")
                }
            }
        }
        for path in extra {
            add_file(&mut shared, path)?;
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
            let mut roots = self.shared.clone();
            for path in &trust.ca_files {
                add_file(&mut roots, path)?;
            }
            builder.with_root_certificates(roots)
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

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), ImageError> {
    let certs = CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))?;
    let mut found = 0;
    for cert in certs {
        roots.add(cert.map_err(|error| unusable(path, &error))?).map_err(|error| unusable(path, &error))?;
        found += 1;
    }
    if found == 0 {
        return Err(unusable(path, &"it holds no certificate in PEM"));
    }
    Ok(())
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
