//! How a container ended: the file that says so, and what is in it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::StartFailure;

pub(crate) const EXIT_FILE: &str = "exit.json";
/// Becomes the exit record. It is there from the container's start on, so that a disk which is full by the container's
/// end has room for it all the same.
const ROOM_FILE: &str = ".exit.json.new";
const ROOM_BYTES: usize = 4096;

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// How its program ended.
    pub outcome: Outcome,
    /// Whether the kernel killed a process of it for want of memory; `false` where no cgroup can tell.
    pub oom: bool,
    /// When it started, by the wall clock.
    pub started_at: Timestamp,
    /// When it ended, by the wall clock, which may have jumped in between.
    pub finished_at: Timestamp,
    /// How long it ran, by a clock that does not jump.
    pub ran_ms: u64,
    /// What became of its output.
    pub log: LogTotals,
    /// Processes of it that did not die of SIGKILL within ten seconds (stuck in the kernel, on a dead disk for instance).
    pub unkillable: u32,
}

impl ExitStatus {
    /// The exit code in the shells' way: 128 + n for signal n, 125 to 127 where the program was not started.
    #[must_use]
    pub fn code(&self) -> i32 {
        match &self.outcome {
            Outcome::Exited { code } => *code,
            Outcome::Signaled { signal } => 128 + signal,
            Outcome::NotStarted { failure } => failure.kind.exit_code(),
        }
    }

    /// Reads the exit record from a state directory; nothing while there is none.
    pub(crate) fn load(dir: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::read(dir.join(EXIT_FILE)) {
            // One that a power cut left half written was not synced, and nobody has reported it: there is none.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is an exit record.
    pub(crate) fn is_there(dir: &Path) -> bool {
        dir.join(EXIT_FILE).exists()
    }

    /// Takes the room that the exit record will need.
    pub(crate) fn reserve(dir: &Path) -> std::io::Result<()> {
        open_room(dir)?.write_all(&[b' '; ROOM_BYTES])
    }

    /// Writes the exit record, into the room that was reserved for it: whole for whoever reads it, on disk after
    /// [`ExitStatus::sync`].
    ///
    /// Whoever reports an exit makes it durable together with what else it knows, so nobody waits for the disk here; a power
    /// cut in between is one that came a moment earlier.
    pub(crate) fn save(&self, dir: &Path) -> std::io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        let mut file = open_room(dir)?;
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)?;
        std::fs::rename(dir.join(ROOM_FILE), dir.join(EXIT_FILE))
    }

    /// Puts the exit record on disk, for a worker that is not there now.
    pub(crate) fn sync(dir: &Path) -> std::io::Result<()> {
        File::open(dir.join(EXIT_FILE))?.sync_all()?;
        File::open(dir)?.sync_all()
    }
}

/// What is in it stays: to empty it would give the room away.
fn open_room(dir: &Path) -> std::io::Result<File> {
    File::options().write(true).create(true).truncate(false).mode(0o600).open(dir.join(ROOM_FILE))
}

/// How a container's program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// It returned.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It never ran.
    NotStarted {
        /// Why.
        failure: StartFailure,
    },
}

/// What became of a container's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTotals {
    /// Lines written to the log, those that newer ones have since pushed out included.
    pub lines: u64,
    /// Bytes of output in those lines.
    pub bytes: u64,
    /// Lines that never reached the disk because it was full or failed.
    pub dropped_lines: u64,
    /// Bytes of output in those.
    pub dropped_bytes: u64,
}
