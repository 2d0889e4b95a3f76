//! What must be kept to find a container again.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;
use crate::whole_file::write_file;

const RECORD_FILE: &str = "record.json";

/// A started container, as it is stored: enough to find it again, from any process and after any restart of the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The container's id.
    pub id: String,
    /// Its state directory.
    pub dir: PathBuf,
    /// The boot it runs in; after another one it is gone.
    pub boot_id: String,
    /// The process that owns it.
    pub shim: ProcessId,
    /// Its program's process.
    pub init: ProcessId,
    /// Its cgroups, one directory a hierarchy; none where the machine has none.
    pub cgroups: Vec<PathBuf>,
    /// When its program was about to start.
    pub started_at: Timestamp,
}

impl Record {
    /// Reads the record from a container's state directory: nothing if its program was never about to start.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn load(dir: &Path) -> Result<Option<Self>, RecordError> {
        let path = dir.join(RECORD_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|source| RecordError::Damaged { path, source })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RecordError::Read { path, source }),
        }
    }

    /// Writes the record into the container's state directory.
    ///
    /// Not synced: what it says is worth nothing after a reboot.
    pub(crate) fn save(&self) -> std::io::Result<()> {
        write_file(&self.dir, RECORD_FILE, &serde_json::to_vec_pretty(self)?)
    }
}

/// A container's record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file is there but unreadable.
    #[error("failed to read the container record {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else; after a power cut this happens, and the container is gone.
    #[error("the container record {path:?} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}
