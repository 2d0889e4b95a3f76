//! Says how far the write is.

use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::download::Counters;
use crate::ActionError;

/// Prints a line every interval.
pub struct Progress<'o> {
    out: &'o mut dyn Write,
    text: bool,
    interval: Duration,
    started: Instant,
    url: String,
}

impl<'o> Progress<'o> {
    /// Starts the clock.
    pub fn new(out: &'o mut dyn Write, text: bool, interval: Duration, url: String) -> Self {
        Self { out, text, interval, started: Instant::now(), url }
    }

    /// Prints lines until the other end of `ended` is dropped, also while nothing moves.
    pub fn watch(&mut self, counters: &Counters, ended: &Receiver<Infallible>) {
        while ended.recv_timeout(self.interval) == Err(RecvTimeoutError::Timeout) {
            // Output that nobody takes must not stop a disk being written.
            let _ = self.line("in progress", counters, &[]);
        }
    }

    /// Prints the last line.
    pub fn done(&mut self, counters: &Counters, digest: &str, disk: &str) -> Result<(), ActionError> {
        let more = [("digest", digest), ("disk", disk)];
        self.line("image written and synced", counters, &more).map_err(ActionError::Output)
    }

    fn line(&mut self, what: &str, counters: &Counters, more: &[(&str, &str)]) -> std::io::Result<()> {
        let seconds = self.started.elapsed().as_secs();
        let [read, written, total] =
            [&counters.read, &counters.written, &counters.total].map(|bytes| bytes.load(Ordering::Relaxed));
        if self.text {
            let share = read.saturating_mul(100).checked_div(total).map(|share| format!(" ({share} %)"));
            let share = share.unwrap_or_default();
            write!(self.out, "{what}: {read} bytes read{share}, {written} bytes written, {seconds} s")?;
            for (key, value) in more {
                write!(self.out, ", {key} {value}")?;
            }
            writeln!(self.out)?;
        } else {
            let mut line = serde_json::json!({
                "msg": what, "url": self.url, "bytesRead": read, "bytesWritten": written, "seconds": seconds,
            });
            if total > 0 {
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
