//! Chooses a decompressor by the URL's suffix, as the original does.

use std::io::Read;

use crate::ActionError;

/// `source` decompressed, if that is asked for.
pub fn reader<'r>(url: &str, compressed: bool, source: &'r mut dyn Read) -> Result<Box<dyn Read + 'r>, ActionError> {
    if !compressed {
        return Ok(Box::new(source));
    }
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let suffix = path.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    match suffix {
        "gz" | "gzip" | "tgz" => Ok(Box::new(flate2::read::MultiGzDecoder::new(source))),
        "bz2" => Ok(Box::new(bzip2::read::MultiBzDecoder::new(source))),
        "xz" => Ok(Box::new(liblzma::read::XzDecoder::new_multi_decoder(source))),
        "zst" | "zs" | "zstd" => {
            let decoder = zstd::stream::read::Decoder::new(source).map_err(ActionError::io("decompress", url))?;
            Ok(Box::new(decoder))
        }
        _ => Err(ActionError::Invalid {
            name: "IMG_URL",
            found: url.to_owned(),
            allowed: "with COMPRESSED=true, a URL that ends in .gz, .bz2, .xz or .zst",
        }),
    }
}
