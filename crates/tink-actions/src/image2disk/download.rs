//! Reads a URL, taking a broken download up where it broke.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::ActionError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that sends nothing for so long is taken for gone.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// For how long a failed download is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    until: Option<Instant>,
}

impl Retry {
    /// From now on, for this long; `None` = not at all.
    pub fn new(limit: Option<Duration>) -> Self {
        Self { until: limit.and_then(|limit| Instant::now().checked_add(limit)) }
    }

    /// Waits before the next try; false when there is none.
    fn pause(self, tries: u32) -> bool {
        let Some(until) = self.until else { return false };
        let wait = BACKOFF_FIRST.saturating_mul(1 << tries.min(8)).min(BACKOFF_MAX);
        if Instant::now() + wait >= until {
            return false;
        }
        wait_out(wait);
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "the pause before the next try of a server is the purpose")]
fn wait_out(wait: Duration) {
    std::thread::sleep(wait);
}

/// The bytes of a URL.
pub struct Download {
    url: String,
    source: Source,
    retry: Retry,
    /// Bytes delivered.
    at: Rc<Cell<u64>>,
    total: Option<u64>,
    /// The server's name for this version of the file, so that two versions are never joined.
    version: Option<String>,
}

enum Source {
    File(File),
    Http { agent: Box<ureq::Agent>, body: Option<Box<dyn Read>> },
}

impl Download {
    /// Opens a `http://`, `https://` or `file://` URL.
    pub fn open(url: &str, retry: Retry) -> Result<Self, ActionError> {
        let at = Rc::new(Cell::new(0));
        if let Some(path) = url.strip_prefix("file://") {
            let file = File::open(path).map_err(ActionError::io("open", path))?;
            let total = Some(file.metadata().map_err(ActionError::io("look at", path))?.len());
            return Ok(Self { url: url.to_owned(), source: Source::File(file), retry, at, total, version: None });
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let allowed = "a URL that starts with http://, https:// or file://";
            return Err(ActionError::Invalid { name: "IMG_URL", found: without_password(url), allowed });
        }
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(STALL_TIMEOUT))
            .timeout_recv_body(None)
            .http_status_as_error(false)
            .user_agent(concat!("tink-actions/", env!("CARGO_PKG_VERSION")))
            .build();
        let source = Source::Http { agent: Box::new(config.into()), body: None };
        let mut download = Self { url: url.to_owned(), source, retry, at, total: None, version: None };
        download.connect_patiently()?;
        Ok(download)
    }

    /// The URL without user name and password.
    pub fn shown_url(&self) -> String {
        without_password(&self.url)
    }

    /// Bytes in all, as far as known.
    pub fn bytes_total(&self) -> Option<u64> {
        self.total
    }

    /// Counts the bytes delivered.
    pub fn counter(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.at)
    }

    /// Hashes what is read.
    pub fn hashed(self) -> (Hashed, Sum) {
        let sum = Sum(Rc::new(std::cell::RefCell::new(Sha256::new())));
        (Hashed { download: self, sum: Sum(Rc::clone(&sum.0)) }, sum)
    }

    fn connect_patiently(&mut self) -> Result<(), ActionError> {
        let mut tries = 0;
        loop {
            match self.connect() {
                Ok(()) => return Ok(()),
                Err(ActionError::Download { retryable: true, reason, .. }) if self.retry.pause(tries) => {
                    eprintln!("download of {} failed ({reason}); trying again", self.shown_url());
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for what is still missing.
    fn connect(&mut self) -> Result<(), ActionError> {
        let at = self.at.get();
        let failed = |url: &str, reason: String, retryable| ActionError::Download {
            url: without_password(url),
            reason,
            retryable,
        };
        let Source::Http { agent, body } = &mut self.source else { return Ok(()) };
        let mut request = agent.get(&self.url);
        if at > 0 {
            request = request.header("Range", format!("bytes={at}-"));
            if let Some(version) = &self.version {
                request = request.header("If-Range", version);
            }
        }
        let answer = request.call().map_err(|error| failed(&self.url, error.to_string(), true))?;
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let length = header("content-length").and_then(|text| text.parse::<u64>().ok());
        match status {
            200 if at == 0 => {
                self.total = length;
                // A weak validator does not promise the same bytes.
                self.version = header("etag").filter(|tag| !tag.starts_with("W/")).or_else(|| header("last-modified"));
            }
            206 if at > 0 => {}
            200 | 416 => {
                let reason = format!("it broke after {at} bytes and the server cannot go on there (status {status})");
                return Err(failed(&self.url, reason, false));
            }
            _ => {
                let reason = format!("the server answered with status {status}");
                return Err(failed(&self.url, reason, status >= 500 || status == 408 || status == 429));
            }
        }
        *body = Some(Box::new(answer.into_body().into_reader()));
        Ok(())
    }

    fn read_once(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::File(file) => file.read(buffer),
            Source::Http { body: Some(body), .. } => body.read(buffer),
            Source::Http { body: None, .. } => Ok(0),
        }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut tries = 0;
        loop {
            let at = self.at.get();
            let reason = match self.read_once(buffer) {
                Ok(0) if self.total.is_none_or(|total| at >= total) => return Ok(0),
                Ok(0) => format!("it ended after {at} of {} bytes", self.total.unwrap_or_default()),
                Ok(length) => {
                    self.at.set(at + length as u64);
                    return Ok(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => format!("it broke after {at} bytes: {error}"),
            };
            if !self.retry.pause(tries) {
                return Err(io::Error::other(reason));
            }
            eprintln!("download of {}: {reason}; going on there", self.shown_url());
            tries += 1;
            self.connect_patiently().map_err(io::Error::other)?;
        }
    }
}

/// A download that is hashed as it is read.
pub struct Hashed {
    download: Download,
    sum: Sum,
}

impl Hashed {
    /// Reads to the end.
    pub fn drain(&mut self) -> Result<(), ActionError> {
        let url = self.download.shown_url();
        let rest = io::copy(self, &mut io::sink());
        rest.map(drop).map_err(|error| ActionError::Download { url, reason: error.to_string(), retryable: false })
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.download.read(buffer)?;
        self.sum.0.borrow_mut().update(&buffer[..length]);
        Ok(length)
    }
}

/// The hash of what was read so far.
pub struct Sum(Rc<std::cell::RefCell<Sha256>>);

impl Sum {
    /// In hexadecimal.
    pub fn hex(&self) -> String {
        self.0.borrow().clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The URL without user name and password, fit for a log.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}
