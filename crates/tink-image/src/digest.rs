//! Content digests, `sha256:<hex>` and `sha512:<hex>`, and the readers that compute them.

use std::fmt;
use std::io::{self, BufRead, Read};

use ring::digest::{Algorithm, Context, SHA256, SHA512};
use serde::{Deserialize, Serialize};

/// A content digest, as descriptors carry it.
///
/// Only the algorithms that the OCI image specification registers are known, and only lower-case hex of the right
/// length: a digest is always safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    text: String,
    colon: usize,
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a digest such as sha256:<64 hex digits>")]
pub struct DigestError {
    /// What was given.
    pub found: String,
}

impl Digest {
    /// Parses `sha256:<64 hex>` or `sha512:<128 hex>`.
    ///
    /// # Errors
    /// [`DigestError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let refused = || DigestError { found: text.chars().take(160).collect() };
        let colon = text.find(':').ok_or_else(refused)?;
        let hex = &text[colon + 1..];
        let hex_len = match &text[..colon] {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(refused()),
        };
        if hex.len() != hex_len || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(refused());
        }
        Ok(Self { text: text.to_owned(), colon })
    }

    /// The sha256 of some bytes.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    /// `sha256` or `sha512`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The hex digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The whole digest, `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The digest of `bytes` by the same algorithm.
    #[must_use]
    pub fn of_same_kind(&self, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::like(self);
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.text
    }
}

/// A digest in the making.
#[derive(Clone)]
pub struct Hasher {
    context: Context,
}

impl Hasher {
    /// A sha256.
    #[must_use]
    pub fn sha256() -> Self {
        Self { context: Context::new(&SHA256) }
    }

    /// A hasher of the same algorithm as `digest`, to compare with it.
    #[must_use]
    pub fn like(digest: &Digest) -> Self {
        let algorithm: &'static Algorithm = if digest.algorithm() == "sha512" { &SHA512 } else { &SHA256 };
        Self { context: Context::new(algorithm) }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn finish(&self) -> Digest {
        use fmt::Write as _;
        let value = self.context.clone().finish();
        let name = if value.as_ref().len() == 64 { "sha512" } else { "sha256" };
        let mut text = String::with_capacity(name.len() + 1 + value.as_ref().len() * 2);
        text.push_str(name);
        text.push(':');
        for byte in value.as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self::built(text, name.len())
    }

    fn built(text: String, colon: usize) -> Digest {
        Digest { text, colon }
    }
}

/// A reader that hashes what is consumed from it.
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    bytes: u64,
}

impl<R> HashingReader<R> {
    pub(crate) fn new(inner: R, hasher: Hasher) -> Self {
        Self { inner, hasher, bytes: 0 }
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Digest and number of the bytes consumed so far.
    pub(crate) fn finish(&self) -> (Digest, u64) {
        (self.hasher.finish(), self.bytes)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for HashingReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // The bytes are in the inner buffer: asking again costs nothing and reads nothing.
        if amount > 0 {
            if let Ok(buffer) = self.inner.fill_buf() {
                self.hasher.update(&buffer[..amount.min(buffer.len())]);
            }
            self.bytes += amount as u64;
            self.inner.consume(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_digests_parse() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::parse(empty).unwrap(), Digest::sha256(b""));
        for bad in ["", "sha256:", "sha256:00", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../etc", "é:é"] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
        assert!(Digest::parse(&empty.to_uppercase()).is_err());
    }

    #[test]
    fn reading_and_consuming_hash_the_same_bytes() {
        let data = vec![7_u8; 100_000];
        let mut by_read = HashingReader::new(&data[..], Hasher::sha256());
        io::copy(&mut by_read, &mut io::sink()).unwrap();
        let mut by_buffer = HashingReader::new(io::BufReader::new(&data[..]), Hasher::sha256());
        loop {
            let n = by_buffer.fill_buf().unwrap().len().min(777);
            if n == 0 {
                break;
            }
            by_buffer.consume(n);
        }
        assert_eq!(by_read.finish(), (Digest::sha256(&data), 100_000));
        assert_eq!(by_buffer.finish(), by_read.finish());
    }

    #[test]
    fn a_sha512_is_compared_by_sha512() {
        let digest = Digest::parse(&format!("sha512:{}", "0".repeat(128))).unwrap();
        assert_eq!(digest.of_same_kind(b"x").algorithm(), "sha512");
    }
}
