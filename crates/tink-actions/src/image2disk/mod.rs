//! `image2disk`: streams a disk image from a URL onto a disk.
//!
//! Variables (those of Tinkerbell's action of that name, with the same meaning):
//!
//! | variable | meaning |
//! |---|---|
//! | `IMG_URL` | `http://`, `https://` or `file://` URL of the image; required |
//! | `DEST_DISK` | the disk, or a plain file; required |
//! | `COMPRESSED` | whether to decompress, by the URL's suffix: `.gz`, `.bz2`, `.bzip2`, `.xz`, `.zst`, `.zs` |
//! | `RETRY_ENABLED`, `RETRY_DURATION_MINUTES` | try again whatever failed, for so long (10; 0 = without end) |
//! | `PROGRESS_INTERVAL_SECONDS` | a progress line this often (3) |
//! | `TEXT_LOGGING` | lines of text rather than JSON |
//! | `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` | as Go's programs read them |
//! | `IMG_CHECKSUM` | ours: `sha256:<hex>` of the file as downloaded; a mismatch fails the action |
//!
//! Better than the original: a download that ends early is an error, one that breaks is taken up where it broke, a server
//! that falls silent is noticed, runs of zeros are not sent to the disk one by one, and everything is on the disk before it
//! exits 0.
//!
//! ```text
//! attempt ──▶ download ──▶ decompress ──▶ disk ──▶ sync ──▶ done
//!    ▲            └ broke: goes on there     │
//!    └────────── failed: all of it again ────┘
//! ```

mod decompress;
mod disk;
mod download;
mod progress;
mod retry;
mod version;
mod web;

use std::convert::Infallible;
use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use tink_image::{ProxyConfig, Timeouts};

use crate::environment::{number, optional, required, switch};
use crate::{ActionError, Environment};

use decompress::Compression;
use download::{Counters, Download, Hashed, without_password};
use progress::Progress;
use retry::{Limit, Retry};

/// What to write where.
struct Config {
    url: String,
    disk: String,
    compression: Compression,
    retry: Limit,
    progress_interval: Duration,
    text: bool,
    checksum: Option<String>,
    proxy: ProxyConfig,
    timeouts: Timeouts,
}

impl Config {
    fn from(env: &dyn Environment) -> Result<Self, ActionError> {
        let url = required(env, "IMG_URL", "where the disk image is")?;
        if !["http://", "https://", "file://"].iter().any(|scheme| url.starts_with(scheme)) {
            let allowed = "a URL that starts with http://, https:// or file://";
            return Err(ActionError::Invalid { name: "IMG_URL", found: without_password(&url), allowed });
        }
        Ok(Self {
            disk: required(env, "DEST_DISK", "which disk it is written to")?,
            compression: if switch(env, "COMPRESSED") { Compression::of(&url)? } else { Compression::None },
            url,
            retry: if switch(env, "RETRY_ENABLED") { retry_limit(env) } else { Limit::Once },
            progress_interval: Duration::from_secs(
                u64::try_from(number(env, "PROGRESS_INTERVAL_SECONDS", 3)).unwrap_or_default().max(1),
            ),
            text: switch(env, "TEXT_LOGGING"),
            checksum: checksum(env)?,
            proxy: ProxyConfig::from_variables(|name| env.get(name)),
            timeouts: Timeouts::default(),
        })
    }
}

/// compat: no duration at all has no end, a negative one is over at the first failure.
fn retry_limit(env: &dyn Environment) -> Limit {
    match u64::try_from(number(env, "RETRY_DURATION_MINUTES", 10)) {
        Ok(0) => Limit::Endless,
        Ok(minutes) => Limit::For(Duration::from_secs(minutes.saturating_mul(60))),
        Err(_) => Limit::Once,
    }
}

fn checksum(env: &dyn Environment) -> Result<Option<String>, ActionError> {
    let Some(found) = optional(env, "IMG_CHECKSUM") else { return Ok(None) };
    let hex = found.strip_prefix("sha256:");
    if hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Ok(Some(found.to_ascii_lowercase()));
    }
    Err(ActionError::Invalid { name: "IMG_CHECKSUM", found, allowed: "sha256:<64 hex digits>" })
}

/// Runs the program.
pub fn run(env: &dyn Environment, out: &mut dyn Write) -> Result<(), ActionError> {
    write_image(&Config::from(env)?, out)
}

/// Tries until it is done or the time for tries is over.
fn write_image(config: &Config, out: &mut dyn Write) -> Result<(), ActionError> {
    let mut retry = Retry::new(config.retry);
    loop {
        match attempt(config, out) {
            Err(error) if error.retryable() && retry.pause() => eprintln!("{error}; trying again from the start"),
            result => return result,
        }
    }
}

/// Writes the whole image once, and says how far it is on the way.
fn attempt(config: &Config, out: &mut dyn Write) -> Result<(), ActionError> {
    let counters = Counters::default();
    let mut progress = Progress::new(out, config.text, config.progress_interval, without_password(&config.url));
    let transferred = std::thread::scope(|scope| {
        let (working, ended) = mpsc::sync_channel::<Infallible>(0);
        let worker = scope.spawn(|| {
            let _working = working;
            transfer(config, &counters)
        });
        progress.watch(&counters, &ended);
        worker.join()
    });
    let found = transferred.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    if let Some(wanted) = config.checksum.as_ref().filter(|wanted| **wanted != found) {
        return Err(ActionError::Checksum { subject: without_password(&config.url), found, wanted: wanted.clone() });
    }
    progress.done(&counters, &found, &config.disk)
}

/// Moves the image from its server to the disk; answers with its checksum.
fn transfer(config: &Config, counters: &Counters) -> Result<String, ActionError> {
    let retry = Retry::new(config.retry);
    let download = Download::open(&config.url, &config.proxy, config.timeouts, retry, counters)?;
    let mut source = Hashed::new(download);
    {
        let reader = config.compression.reader(&mut source);
        let mut reader = reader.map_err(ActionError::io("decompress", without_password(&config.url)))?;
        disk::write(&config.disk, reader.as_mut(), &counters.written)
            .map_err(|error| error.or_download(&config.url))?;
    }
    // What follows a compressed stream still belongs to the file that the checksum is about.
    source.finish()
}

#[cfg(test)]
mod tests;
