//! Says how far the write is.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::ActionError;

/// Prints a line every interval.
pub struct Progress<'o> {
    out: &'o mut dyn Write,
    text: bool,
    interval: Duration,
    started: Instant,
    next: Instant,
    url: String,
    total: Option<u64>,
}

impl<'o> Progress<'o> {
    /// Starts the clock.
    pub fn new(out: &'o mut dyn Write, text: bool, interval: Duration, url: &str, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self { out, text, interval, started: now, next: now + interval, url: url.to_owned(), total }
    }

    /// Prints a line if it is time for one.
    pub fn tick(&mut self, bytes_read: u64, bytes_written: u64) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + self.interval;
        // Output that nobody takes must not stop a disk being written.
        let _ = self.line("in progress", bytes_read, bytes_written, &[]);
    }

    /// Prints the last line.
    pub fn done(&mut self, bytes_read: u64, bytes_written: u64, digest: &str, disk: &str) -> Result<(), ActionError> {
        let more = [("digest", digest), ("disk", disk)];
        self.line("image written and synced", bytes_read, bytes_written, &more).map_err(ActionError::Output)
    }

    fn line(&mut self, what: &str, read: u64, written: u64, more: &[(&str, &str)]) -> std::io::Result<()> {
        let seconds = self.started.elapsed().as_secs();
        if self.text {
            let share = self.total.filter(|total| *total > 0).map(|total| format!(" ({} %)", read * 100 / total));
            write!(
                self.out,
                "{what}: {read} bytes read{}, {written} bytes written, {seconds} s",
                share.unwrap_or_default()
            )?;
            for (key, value) in more {
                write!(self.out, ", {key} {value}")?;
            }
            writeln!(self.out)?;
        } else {
            let mut line = serde_json::json!({
                "msg": what, "url": self.url, "bytesRead": read, "bytesWritten": written, "seconds": seconds,
            });
            if let Some(total) = self.total {
                line["bytesTotal"] = total.into();
            }
            for (key, value) in more {
                line[*key] = (*value).into();
            }
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }
}
