//! `image2disk`: streams a disk image from a URL onto a disk.
//!
//! Variables (those of Tinkerbell's action of that name, with the same meaning):
//!
//! | variable | meaning |
//! |---|---|
//! | `IMG_URL` | `http://`, `https://` or `file://` URL of the image; required |
//! | `DEST_DISK` | the disk, or a plain file; required |
//! | `COMPRESSED` | whether to decompress, by the URL's suffix: `.gz`, `.bz2`, `.xz`, `.zst` |
//! | `RETRY_ENABLED`, `RETRY_DURATION_MINUTES` | go on after a broken download, for so long (10) |
//! | `PROGRESS_INTERVAL_SECONDS` | a progress line this often (3) |
//! | `TEXT_LOGGING` | lines of text rather than JSON |
//! | `IMG_CHECKSUM` | ours: `sha256:<hex>` of the file as downloaded; a mismatch fails the action |
//!
//! Better than the original: a download that ends early is an error, one that breaks is taken up where it broke, runs of
//! zeros are not sent to the disk one by one, and everything is on the disk before it exits 0.

mod decompress;
mod disk;
mod download;
mod progress;

use std::io::Write;
use std::time::Duration;

use crate::environment::{number, optional, required, switch};
use crate::{ActionError, Environment};

use download::{Download, Retry};
use progress::Progress;

/// What to write where.
struct Config {
    url: String,
    disk: String,
    compressed: bool,
    retry: Option<Duration>,
    progress_interval: Duration,
    text: bool,
    checksum: Option<String>,
}

impl Config {
    fn from(env: &dyn Environment) -> Result<Self, ActionError> {
        let checksum = optional(env, "IMG_CHECKSUM");
        if let Some(found) = &checksum {
            let hex = found
                .strip_prefix("sha256:")
                .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
            if hex.is_none() {
                let allowed = "sha256:<64 hex digits>";
                return Err(ActionError::Invalid { name: "IMG_CHECKSUM", found: found.clone(), allowed });
            }
        }
        let minutes = number(env, "RETRY_DURATION_MINUTES", 10)?;
        Ok(Self {
            url: required(env, "IMG_URL", "where the disk image is")?,
            disk: required(env, "DEST_DISK", "which disk it is written to")?,
            compressed: switch(env, "COMPRESSED")?,
            retry: switch(env, "RETRY_ENABLED")?.then(|| Duration::from_secs(minutes.saturating_mul(60))),
            progress_interval: Duration::from_secs(number(env, "PROGRESS_INTERVAL_SECONDS", 3)?.max(1)),
            text: switch(env, "TEXT_LOGGING")?,
            checksum: checksum.map(|text| text.to_ascii_lowercase()),
        })
    }
}

/// Runs the program.
pub fn run(env: &dyn Environment, out: &mut dyn Write) -> Result<(), ActionError> {
    let config = Config::from(env)?;
    let retry = Retry::new(config.retry);
    let download = Download::open(&config.url, retry)?;
    let progress =
        Progress::new(out, config.text, config.progress_interval, &download.shown_url(), download.bytes_total());
    write(&config, download, progress)
}

fn write(config: &Config, download: Download, mut progress: Progress<'_>) -> Result<(), ActionError> {
    let counted = download.counter();
    let (mut source, digest) = download.hashed();
    let bytes = {
        let mut reader = decompress::reader(&config.url, config.compressed, &mut source)?;
        disk::write(&config.disk, reader.as_mut(), |written| progress.tick(counted.get(), written))
            .map_err(|error| error.or_download(&config.url))?
    };
    // What follows a compressed stream still belongs to the file that the checksum is about.
    source.drain()?;
    let found = format!("sha256:{}", digest.hex());
    if let Some(wanted) = config.checksum.as_ref().filter(|wanted| **wanted != found) {
        return Err(ActionError::Checksum { subject: config.url.clone(), found, wanted: wanted.clone() });
    }
    progress.done(counted.get(), bytes, &found, &config.disk)
}

#[cfg(test)]
mod tests;
