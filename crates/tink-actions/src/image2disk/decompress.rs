//! Chooses a decompressor by the URL's suffix, as the original does.

use std::io::{self, Read};

use super::download::without_password;
use crate::ActionError;

/// How an image is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// By the suffix of a URL.
    pub fn of(url: &str) -> Result<Self, ActionError> {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        match path.rsplit_once('.').map_or("", |(_, suffix)| suffix) {
            "gz" | "gzip" | "tgz" => Ok(Self::Gzip),
            "bz2" | "bzip2" => Ok(Self::Bzip2),
            "xz" => Ok(Self::Xz),
            "zst" | "zs" | "zstd" => Ok(Self::Zstd),
            _ => Err(ActionError::Invalid {
                name: "IMG_URL",
                found: without_password(url),
                allowed: "with COMPRESSED=true, a URL that ends in .gz, .bz2, .bzip2, .xz, .zst or .zs",
            }),
        }
    }

    /// `source` decompressed.
    pub fn reader<'r>(self, source: &'r mut dyn Read) -> io::Result<Box<dyn Read + 'r>> {
        Ok(match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(source)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(source)),
            Self::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(source)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(source)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_of_the_original_is_known_and_a_query_is_none() {
        for (url, wanted) in [
            ("http://x/a.gz", Compression::Gzip),
            ("http://x/a.img.bz2", Compression::Bzip2),
            ("http://x/a.bzip2", Compression::Bzip2),
            ("http://x/a.xz?token=a.b", Compression::Xz),
            ("http://x/a.zs", Compression::Zstd),
            ("http://x/a.zst#a.b", Compression::Zstd),
        ] {
            assert_eq!(Compression::of(url).unwrap(), wanted, "{url}");
        }
        let error = Compression::of("http://me:secret@x/a.zip").unwrap_err();
        assert!(error.is_usage() && !error.to_string().contains("secret"), "{error}");
    }
}
