//! A certificate authority of a test's own, and a certificate for loopback.

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A server's certificate and key, and the authority that vouches for it, all in PEM.
#[derive(Clone, Debug)]
pub(crate) struct LoopbackCertificate {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl LoopbackCertificate {
    /// Issues one for 127.0.0.1, ::1 and localhost.
    pub(crate) fn issue() -> Result<Self> {
        let authority_key = KeyPair::generate().context("failed to make the authority's key")?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "tink test authority");
        let authority = params.self_signed(&authority_key).context("failed to sign the authority")?;
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate().context("failed to make the server's key")?;
        let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
        let mut params = CertificateParams::new(names).context("failed to name the server")?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let certificate = params.signed_by(&key, &issuer).context("failed to sign the server's certificate")?;
        Ok(Self { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
