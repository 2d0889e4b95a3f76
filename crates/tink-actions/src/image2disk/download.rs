//! Reads a URL, taking a broken download up where it broke.
//!
//! ```text
//! asked ──200──▶ reading ──breaks──▶ asked for the rest ──206, the rest──────────▶ reading
//!                                          │  └──200, the whole: what was read is skipped ─▶ reading
//!                                          └──another file, another range──▶ error: only from the start
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use tink_image::{ProxyConfig, Timeouts, WebClient};

use super::retry::Retry;
use super::version::Version;
use super::web::Web;
use crate::ActionError;

/// How far a download is, for whoever looks on.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes read of the file.
    pub read: AtomicU64,
    /// Bytes of the whole file; 0 where that is not known.
    pub total: AtomicU64,
    /// Bytes on the disk.
    pub written: AtomicU64,
}

/// The bytes of a URL.
pub struct Download<'c> {
    url: String,
    source: Source,
    /// Of breaks that bring nothing new.
    retry: Retry,
    /// Bytes delivered.
    at: u64,
    /// Bytes to leave out: the server began at the start although it was asked for the rest.
    skip: u64,
    version: Version,
    counters: &'c Counters,
}

enum Source {
    File(File),
    Web(Box<Web>),
}

/// Why a download cannot be taken up.
enum Refusal {
    /// The next try may do.
    Passing(String),
    /// What is there now is not what was begun.
    Changed(String),
}

impl<'c> Download<'c> {
    /// Opens a `http://`, `https://` or `file://` URL.
    pub fn open(
        url: &str,
        proxy: &ProxyConfig,
        timeouts: Timeouts,
        retry: Retry,
        counters: &'c Counters,
    ) -> Result<Self, ActionError> {
        if let Some(path) = url.strip_prefix("file://") {
            let file = File::open(path).map_err(ActionError::io("open", path))?;
            let total = file.metadata().map_err(ActionError::io("look at", path))?.len();
            counters.total.store(total, Ordering::Relaxed);
            let version = Version::of_length(total);
            return Ok(Self {
                url: url.to_owned(),
                source: Source::File(file),
                retry,
                at: 0,
                skip: 0,
                version,
                counters,
            });
        }
        let failed = |reason: String| ActionError::Download { url: without_password(url), reason };
        let client = WebClient::new(proxy, timeouts).map_err(|error| failed(tink_error::chain(&error)))?;
        let web = Web::new(client).map_err(|error| failed(error.to_string()))?;
        let (source, version) = (Source::Web(Box::new(web)), Version::default());
        let mut download = Self { url: url.to_owned(), source, retry, at: 0, skip: 0, version, counters };
        match download.ask() {
            Ok(()) => Ok(download),
            Err(Refusal::Passing(reason) | Refusal::Changed(reason)) => Err(failed(reason)),
        }
    }

    /// Asks for what is still missing.
    fn ask(&mut self) -> Result<(), Refusal> {
        let Source::Web(web) = &mut self.source else { return Ok(()) };
        let mut wanted = HeaderMap::new();
        if self.at > 0 {
            let header = |text: String| HeaderValue::try_from(text).ok();
            wanted.extend(header(format!("bytes={}-", self.at)).map(|range| (RANGE, range)));
            wanted
                .extend(self.version.if_range().and_then(|text| header(text.to_owned())).map(|text| (IF_RANGE, text)));
        }
        let answer = web.ask(&self.url, &wanted);
        let (status, headers) = answer.map_err(|error| Refusal::Passing(tink_error::chain(&error)))?;
        let changed = || Refusal::Changed("the server has another file there now".to_owned());
        let (version, begin) = match status.as_u16() {
            200 | 203 => (Version::of_whole(&headers), 0),
            206 if self.at > 0 => Version::of_range(&headers).ok_or_else(|| {
                Refusal::Changed(format!(
                    "asked for the bytes from {} on, the server does not say which it sends",
                    self.at
                ))
            })?,
            416 if self.at > 0 => return Err(changed()),
            status => return Err(Refusal::Passing(format!("the server answered with status {status}"))),
        };
        if self.at > 0 && !self.version.may_be(&version) {
            return Err(changed());
        }
        if begin > self.at {
            let reason = format!("asked for the bytes from {} on, the server sends those from {begin} on", self.at);
            return Err(Refusal::Changed(reason));
        }
        self.skip = self.at - begin;
        // The first answer is the one that all others are held against.
        if self.at == 0 {
            self.version = version;
        } else {
            self.version.total = self.version.total.or(version.total);
        }
        self.counters.total.store(self.version.total.unwrap_or_default(), Ordering::Relaxed);
        Ok(())
    }

    /// One read; 0 is the end of what the server sends.
    fn read_once(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        let web = match &mut self.source {
            Source::File(file) => return file.read(buffer).map_err(|error| error.to_string()),
            Source::Web(web) => web,
        };
        while self.skip > 0 {
            match web.skip(self.skip).map_err(|error| tink_error::chain(&error))? {
                0 => return Err("the server ended before the place where it broke".to_owned()),
                skipped => self.skip -= skipped,
            }
        }
        web.read(buffer).map_err(|error| tink_error::chain(&error))
    }

    /// Goes on after a break, unless that is of no use any more.
    fn take_up(&mut self, mut reason: String) -> io::Result<()> {
        while self.retry.pause() {
            eprintln!("the download of {} broke after {} bytes ({reason}); going on there", self.url(), self.at);
            match self.ask() {
                Ok(()) => return Ok(()),
                Err(Refusal::Passing(other)) => reason = other,
                Err(Refusal::Changed(other)) => return Err(io::Error::other(other)),
            }
        }
        Err(io::Error::other(format!("it broke after {} bytes: {reason}", self.at)))
    }

    fn url(&self) -> String {
        without_password(&self.url)
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let reason = match self.read_once(buffer) {
                Ok(0) => match self.version.total {
                    Some(total) if self.at < total => format!("it ended before its {total} bytes"),
                    Some(_) | None => return Ok(0),
                },
                Ok(length) => {
                    self.at += length as u64;
                    self.counters.read.store(self.at, Ordering::Relaxed);
                    self.retry.begin_anew();
                    return Ok(length);
                }
                Err(reason) => reason,
            };
            self.take_up(reason)?;
        }
    }
}

/// A download that is hashed as it is read.
pub struct Hashed<'c> {
    download: Download<'c>,
    hash: Sha256,
}

impl<'c> Hashed<'c> {
    /// From its first byte on.
    pub fn new(download: Download<'c>) -> Self {
        Self { download, hash: Sha256::new() }
    }

    /// Reads to the end, and says the hash of everything as `sha256:<hex>`.
    pub fn finish(mut self) -> Result<String, ActionError> {
        let rest = io::copy(&mut self, &mut io::sink());
        rest.map_err(|error| ActionError::Download { url: self.download.url(), reason: error.to_string() })?;
        let hex: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("sha256:{hex}"))
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.download.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

/// The URL without user name and password, fit for a log.
pub fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (&url[..scheme.len() + 3], rest));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_password() {
        for (url, shown) in [
            ("http://me:secret@x/y.gz", "http://x/y.gz"),
            ("http://me:secret@x?at=a@b", "http://x?at=a@b"),
            ("me:secret@x/y", "x/y"),
            ("http://x/a@b", "http://x/a@b"),
            ("file:///a@b", "file:///a@b"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
