//! Private keys: made, read from PEM, written as PEM, and signing.

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};

use super::der::{self, INTEGER, OCTET_STRING, Reader, SEQUENCE, bit_string, element, sequence, unsigned};
use crate::exec::Fault;

const RSA_OID: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC_OID: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256_OID: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384_OID: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 0x22];
const ED25519_OID: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
const RSA_SHA256_OID: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const ECDSA_SHA256_OID: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384_OID: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const NULL: &[u8] = &[5, 0];

/// A private key. It has no `Debug`: its content is a secret.
pub(super) enum PrivateKey {
    /// PKCS#1.
    Rsa(Vec<u8>),
    Ec {
        curve: Curve,
        scalar: Vec<u8>,
        point: Vec<u8>,
    },
    /// The seed.
    Ed25519(Vec<u8>),
    /// DSA keys are made and checked, but sign nothing, as in Go.
    Dsa(Vec<u8>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => P256_OID,
            Self::P384 => P384_OID,
        }
    }

    fn signing(self) -> &'static signature::EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            Self::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        }
    }
}

fn unusable(kind: &str) -> Fault {
    Fault::new(format!("this {kind} key cannot be used"))
}

impl PrivateKey {
    /// A new key of a kind that `genPrivateKey` knows; `None` for other kinds.
    pub(super) fn generate(kind: &str) -> Result<Option<Self>, Fault> {
        Ok(Some(match kind {
            "" | "rsa" => Self::Rsa(super::primes::rsa_key(4096)?),
            "dsa" => Self::Dsa(super::primes::dsa_key()?),
            "ecdsa" => {
                let document = EcdsaKeyPair::generate_pkcs8(Curve::P256.signing(), &SystemRandom::new())
                    .map_err(|_| unusable("new EC"))?;
                Self::from_pkcs8(document.as_ref())?
            }
            "ed25519" => {
                let mut seed = vec![0; 32];
                super::random::fill(&mut seed)?;
                Self::Ed25519(seed)
            }
            _ => return Ok(None),
        }))
    }

    /// A key that PEM text holds.
    pub(super) fn from_pem(text: &str) -> Result<Self, Fault> {
        let (label, content) = der::unpem(text).ok_or_else(|| Fault::new("no PEM data in the private key"))?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8(&content),
            "RSA PRIVATE KEY" => Self::Rsa(content).checked(),
            "EC PRIVATE KEY" => Self::from_sec1(&content, None).ok_or_else(|| unusable("EC")),
            "DSA PRIVATE KEY" => Self::Dsa(content).checked(),
            other => Err(Fault::new(format!("a PEM block of type {other:?} is no private key"))),
        }
    }

    fn from_pkcs8(content: &[u8]) -> Result<Self, Fault> {
        Self::read_pkcs8(content).ok_or_else(|| unusable("PKCS#8"))?.checked()
    }

    fn read_pkcs8(content: &[u8]) -> Option<Self> {
        let mut body = Reader(Reader(content).take(SEQUENCE)?);
        body.take(INTEGER)?;
        let algorithm = body.take(SEQUENCE)?;
        let key = body.take(OCTET_STRING)?;
        let (_, _, oid) = Reader(algorithm).next()?;
        match oid {
            RSA_OID => Some(Self::Rsa(key.to_vec())),
            ED25519_OID => Some(Self::Ed25519(Reader(key).take(OCTET_STRING)?.to_vec())),
            EC_OID => {
                let mut parts = Reader(algorithm);
                parts.next()?;
                Self::from_sec1(key, Some(parts.next()?.2))
            }
            _ => None,
        }
    }

    /// An EC key; the curve may be named outside of it.
    fn from_sec1(content: &[u8], curve_oid: Option<&[u8]>) -> Option<Self> {
        let mut body = Reader(Reader(content).take(SEQUENCE)?);
        body.take(INTEGER)?;
        let scalar = body.take(OCTET_STRING)?.to_vec();
        let (mut oid, mut point) = (curve_oid, None);
        while let Some((tag, inner, _)) = body.next() {
            match tag {
                0xa0 => oid = Some(inner),
                0xa1 => point = Reader(inner).take(der::BIT_STRING)?.get(1..),
                _ => return None,
            }
        }
        let curve = match oid? {
            P256_OID => Curve::P256,
            P384_OID => Curve::P384,
            _ => return None,
        };
        Some(Self::Ec { curve, scalar, point: point?.to_vec() })
    }

    /// The key, if it can do what a key of its kind does.
    fn checked(self) -> Result<Self, Fault> {
        match &self {
            Self::Dsa(content) => {
                Reader(content).take(SEQUENCE).ok_or_else(|| unusable("DSA"))?;
            }
            _ => drop(self.public_info()?),
        }
        Ok(self)
    }

    /// The key as PEM, in the form of its kind.
    pub(super) fn to_pem(&self) -> String {
        match self {
            Self::Rsa(content) => der::pem("RSA PRIVATE KEY", content),
            Self::Dsa(content) => der::pem("DSA PRIVATE KEY", content),
            Self::Ec { curve, scalar, point } => {
                let content = sequence(&[
                    &unsigned(&[1]),
                    &element(OCTET_STRING, scalar),
                    &element(0xa0, curve.oid()),
                    &element(0xa1, &bit_string(point)),
                ]);
                der::pem("EC PRIVATE KEY", &content)
            }
            Self::Ed25519(seed) => {
                let key = element(OCTET_STRING, &element(OCTET_STRING, seed));
                der::pem("PRIVATE KEY", &sequence(&[&unsigned(&[]), &sequence(&[ED25519_OID]), &key]))
            }
        }
    }

    /// The public key as a certificate carries it (SubjectPublicKeyInfo).
    pub(super) fn public_info(&self) -> Result<Vec<u8>, Fault> {
        let (algorithm, key) = match self {
            Self::Rsa(content) => {
                let pair = RsaKeyPair::from_der(content).map_err(|_| unusable("RSA"))?;
                (sequence(&[RSA_OID, NULL]), pair.public_key().as_ref().to_vec())
            }
            Self::Ec { curve, .. } => (sequence(&[EC_OID, curve.oid()]), self.ec()?.public_key().as_ref().to_vec()),
            Self::Ed25519(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| unusable("Ed25519"))?;
                (sequence(&[ED25519_OID]), pair.public_key().as_ref().to_vec())
            }
            Self::Dsa(_) => return Err(Fault::new("certificates cannot be made with DSA keys")),
        };
        Ok(sequence(&[&algorithm, &bit_string(&key)]))
    }

    fn ec(&self) -> Result<EcdsaKeyPair, Fault> {
        let Self::Ec { curve, scalar, point } = self else { return Err(unusable("EC")) };
        EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), scalar, point, &SystemRandom::new())
            .map_err(|_| unusable("EC"))
    }

    /// The identifier of the algorithm that [`PrivateKey::sign`] uses.
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        match self {
            Self::Ec { curve: Curve::P256, .. } => sequence(&[ECDSA_SHA256_OID]),
            Self::Ec { curve: Curve::P384, .. } => sequence(&[ECDSA_SHA384_OID]),
            Self::Ed25519(_) => sequence(&[ED25519_OID]),
            Self::Rsa(_) | Self::Dsa(_) => sequence(&[RSA_SHA256_OID, NULL]),
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let failed = |_| Fault::new("the key cannot sign");
        let random = SystemRandom::new();
        match self {
            Self::Rsa(content) => {
                let pair = RsaKeyPair::from_der(content).map_err(|_| unusable("RSA"))?;
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out).map_err(failed)?;
                Ok(out)
            }
            Self::Ec { .. } => self.ec()?.sign(&random, message).map(|s| s.as_ref().to_vec()).map_err(failed),
            Self::Ed25519(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| unusable("Ed25519"))?;
                Ok(pair.sign(message).as_ref().to_vec())
            }
            Self::Dsa(_) => Err(Fault::new("certificates cannot be signed with DSA keys")),
        }
    }
}
