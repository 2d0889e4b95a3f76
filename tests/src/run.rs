//! One test run: where its files are, what is printed when it fails, and the sweep at its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::sweep;

/// The environment variable that marks every process a run started, and what those start in turn.
pub(crate) const RUN_VARIABLE: &str = "TINK_E2E_RUN";

/// Set to keep the scratch directories of all runs for a look afterwards.
const KEEP_VARIABLE: &str = "TINK_E2E_KEEP";

/// How much of each log a failed run prints.
const LOG_TAIL_LINES: usize = 60;

/// Runs `body` as one test, with directories of its own; prints the logs of all its parts if it fails.
///
/// `name` is the name of the test function; it names the log directory.
///
/// # Errors
/// What `body` answers, or what kept the run's directories from being made.
pub fn scenario(name: &str, body: impl FnOnce(&TestRun) -> Result<()>) -> Result<()> {
    let run = TestRun::new(name)?;
    let result = body(&run);
    if let Err(error) = &result {
        eprintln!("{name} failed: {error:#}");
        run.print_logs();
    }
    result
}

/// The directories of one test. Declare it first: it is dropped last, after every part has ended.
#[derive(Debug)]
pub struct TestRun {
    name: String,
    log_dir: PathBuf,
    scratch: Option<TempDir>,
    scratch_path: PathBuf,
    logs: AtomicU32,
}

impl TestRun {
    /// Makes an empty log directory `target/e2e/<name>` and a scratch directory with a short path.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        Self::new_in(name, &std::env::temp_dir())
    }

    /// A run with its scratch directory in memory, as all of a disk-less machine's installer is.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub fn in_memory(name: &str) -> Result<Self> {
        Self::new_in(name, Path::new("/dev/shm"))
    }

    fn new_in(name: &str, parent: &Path) -> Result<Self> {
        let log_dir = log_root().join(name);
        if log_dir.exists() {
            fs::remove_dir_all(&log_dir).with_context(|| format!("failed to empty {}", log_dir.display()))?;
        }
        fs::create_dir_all(&log_dir).with_context(|| format!("failed to make {}", log_dir.display()))?;
        // Short, because a unix socket's path may not exceed 107 bytes.
        let scratch =
            tempfile::Builder::new().prefix("tke-").tempdir_in(parent).context("failed to make a scratch directory")?;
        let scratch_path = scratch.path().to_path_buf();
        sweep::open(&scratch_path);
        Ok(Self { name: name.to_owned(), log_dir, scratch: Some(scratch), scratch_path, logs: AtomicU32::new(0) })
    }

    /// The name given at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the logs are; kept after the test.
    #[must_use]
    pub fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// A directory for state, sockets and everything else; removed with the run. Its path is unique to this run, so that
    /// a [`Census`](crate::Census) can look for what mentions it.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.scratch_path
    }

    /// A path in the log directory that no part has taken yet: `03-registry.stdout.log`.
    pub(crate) fn log_path(&self, part: &str, stream: &str) -> PathBuf {
        let number = self.logs.fetch_add(1, Ordering::Relaxed);
        self.log_dir.join(format!("{number:02}-{part}.{stream}.log"))
    }

    /// The mark that all processes of this run carry in their environment.
    pub(crate) fn mark(&self) -> String {
        mark_of(&self.scratch_path)
    }

    /// Prints the end of every log to stderr.
    pub fn print_logs(&self) {
        let Ok(entries) = fs::read_dir(&self.log_dir) else { return };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
            if text.is_empty() {
                continue;
            }
            let lines: Vec<_> = text.lines().collect();
            let skipped = lines.len().saturating_sub(LOG_TAIL_LINES);
            eprintln!("--- {} ({skipped} earlier lines left out)", path.display());
            for line in &lines[skipped..] {
                eprintln!("{line}");
            }
        }
    }
}

impl Drop for TestRun {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        // What a killed worker left behind must not outlive the test; whether it may leave it is for the test to say.
        sweep::sweep_run(&self.name, &self.scratch_path);
        let Some(scratch) = self.scratch.take() else { return };
        if std::env::var_os(KEEP_VARIABLE).is_some() {
            eprintln!("{}: kept {}", self.name, scratch.keep().display());
        } else if let Err(error) = scratch.close() {
            eprintln!("{}: failed to remove {}: {error}", self.name, self.scratch_path.display());
        }
        sweep::close(&self.scratch_path);
    }
}

/// The mark of the run with this scratch directory.
pub(crate) fn mark_of(scratch: &Path) -> String {
    format!("{RUN_VARIABLE}={}", scratch.display())
}

/// `target/e2e` of the workspace.
fn log_root() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    workspace.join("target/e2e")
}
