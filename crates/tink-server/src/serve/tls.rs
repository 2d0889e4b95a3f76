//! TLS with a certificate that can be replaced while the server runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why there is no TLS. None of the messages holds anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read the {what} file {file:?}; name an existing PEM file with {flag}")]
    Read {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Its flag.
        flag: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate file holds none.
    #[error("find a certificate in {file:?}; it must hold the server's certificate and then its intermediates, in PEM")]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// The two do not fit, or are of a kind that is not supported.
    #[error(
        "use the certificate {certificate:?} with the key {key:?}; they must belong together (RSA, ECDSA or Ed25519)"
    )]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// The TLS configuration for new connections, and the files it comes from.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Current>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// The certificate file.
    pem: Arc<str>,
}

impl Tls {
    /// Loads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what to do.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let current = RwLock::new(load(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// Loads the files again; connections that stand keep what they have. On failure the old certificate stays.
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let current = load(&self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// The configuration for a new connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// The certificate and its intermediates, PEM. The file's certificates alone, should it hold more.
    pub fn pem(&self) -> Arc<str> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).pem)
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Current, TlsError> {
    let unread = |what, file: &Path, flag| {
        let file = file.to_owned();
        move |source| TlsError::Read { what, file, flag, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unread("certificate", certificate, "--tls-cert"))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { file: certificate.to_owned() });
    }
    let pem = to_pem(&chain).into();
    let private = PrivateKeyDer::from_pem_file(key).map_err(unread("key", key, "--tls-key"))?;
    let unusable = |source| TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), source };
    // Named, not the process's default: a program that embeds the server may have installed none, or another.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(&unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Current { config: Arc::new(config), pem })
}

/// Written anew: a file that holds the key, too, must not be served whole.
fn to_pem(chain: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in chain {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let code = STANDARD.encode(certificate);
        for line in code.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}
