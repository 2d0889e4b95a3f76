//! What a process prints: read from its pipe as it comes, kept in a file and, within a bound, in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Lines kept in memory; older ones are in the file alone.
const LINES_MAX: usize = 20_000;
/// A longer line is cut into several, so that a program that never prints a newline is held, too.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The output of one stream of one process. Clones share it.
#[derive(Clone, Debug)]
pub struct Capture {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    /// How many lines were dropped from the front of `lines`.
    dropped: usize,
    ended: bool,
}

impl Capture {
    /// Reads `stream` to its end in a thread of its own. The thread ends when the last holder of the pipe has closed it.
    pub(crate) fn start(stream: impl Read + Send + 'static, path: PathBuf) -> Result<Self> {
        let mut file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        let shared = Arc::new(Shared::default());
        let capture = Self { path, shared: Arc::clone(&shared) };
        let reader = move || {
            let mut reader = BufReader::new(stream);
            loop {
                let mut line = Vec::new();
                let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
                let ended = !matches!(read, Ok(1..));
                // A full disk must not stop the reading: the process would block on a full pipe.
                file.write_all(&line).ok();
                shared.push(&line, ended);
                if ended {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(reader)
            .context("failed to start a thread that reads output")?;
        Ok(capture)
    }

    /// The file that holds everything.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lines so far, without their newlines (at most the last 20 000).
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.shared.lock().lines.iter().cloned().collect()
    }

    /// Waits for a line that contains `pattern`, also among those already printed.
    ///
    /// # Errors
    /// When the deadline passes or the stream ends without one.
    pub fn wait_for_line(&self, pattern: &str, deadline: Duration) -> Result<String> {
        self.wait_for(&format!("a line with `{pattern}`"), deadline, |line| line.contains(pattern))
    }

    /// Waits for a line for which `wanted` holds, also among those already printed. `what` names it in the error.
    ///
    /// # Errors
    /// When the deadline passes or the stream ends without one.
    pub fn wait_for(&self, what: &str, deadline: Duration, mut wanted: impl FnMut(&str) -> bool) -> Result<String> {
        let end = Instant::now() + deadline;
        let mut seen = 0;
        let mut state = self.shared.lock();
        loop {
            let first = seen.max(state.dropped);
            if let Some(line) = state.lines.iter().skip(first - state.dropped).find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            seen = state.dropped + state.lines.len();
            if state.ended {
                bail!("the output ended without {what}: {}", self.path.display());
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                bail!("waited {deadline:?} in vain for {what}: {}", self.path.display());
            };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until every writer has closed the stream; true if that came before the deadline.
    #[must_use]
    pub fn wait_for_end(&self, deadline: Duration) -> bool {
        let wait = self.shared.changed.wait_timeout_while(self.shared.lock(), deadline, |state| !state.ended);
        wait.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Everything printed so far, read from the file; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.path).unwrap_or_default()).into_owned()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], ended: bool) {
        let mut state = self.lock();
        if !line.is_empty() {
            let text = String::from_utf8_lossy(line);
            state.lines.push_back(text.trim_end_matches(['\n', '\r']).to_owned());
            if state.lines.len() > LINES_MAX {
                state.lines.pop_front();
                state.dropped += 1;
            }
        }
        state.ended = ended;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(text: &'static str) -> (tempfile::TempDir, Capture) {
        let directory = tempfile::tempdir().unwrap();
        let capture = Capture::start(text.as_bytes(), directory.path().join("log")).unwrap();
        (directory, capture)
    }

    #[test]
    fn a_line_is_found_and_all_is_in_the_file() {
        let (_directory, capture) = captured("one\ntwo words\r\nthree");
        assert_eq!(capture.wait_for_line("words", Duration::from_secs(5)).unwrap(), "two words");
        assert!(capture.wait_for_end(Duration::from_secs(5)));
        assert_eq!(capture.text(), "one\ntwo words\r\nthree");
        assert_eq!(capture.lines(), ["one", "two words", "three"]);
    }

    #[test]
    fn the_end_of_the_stream_is_an_error_at_once() {
        let (_directory, capture) = captured("one\n");
        let error = capture.wait_for_line("two", Duration::from_secs(3600)).unwrap_err();
        assert!(error.to_string().starts_with("the output ended without a line with `two`"), "{error}");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let stream = std::io::repeat(b'x').take(LINE_BYTES_MAX * 3);
        let capture = Capture::start(stream, directory.path().join("log")).unwrap();
        assert!(capture.wait_for_end(Duration::from_secs(5)));
        assert_eq!(capture.lines().len(), 3);
    }
}
