//! Where the store, the journal and images are.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;
use tink_oci::Status;

use crate::exit::Failure;

/// A folder of the user's, which is kept, or a temporary one, which goes with this value.
pub struct StateDir {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl StateDir {
    /// Makes the folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(wanted: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = wanted {
            let doing = || format!("failed to make the state directory {}", path.display());
            std::fs::create_dir_all(path).with_context(doing)?;
            let path = path.canonicalize().with_context(doing)?;
            return Ok(Self { path, temporary: None });
        }
        let temporary = tempfile::Builder::new()
            .prefix("tink-")
            .tempdir()
            .context("failed to make a temporary state directory; name one with --state-dir")?;
        Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes a temporary folder and says so if that fails. One in which a detached container runs is kept.
    pub fn close(self) {
        let Some(temporary) = self.temporary else { return };
        if let Some(container) = running_container(&self.path) {
            let path = temporary.keep();
            eprintln!("container {container} goes on; `tink ps --state-dir {}` lists it", path.display());
            return;
        }
        if let Err(error) = temporary.close() {
            eprintln!("tink: failed to remove {}: {error}", self.path.display());
        }
    }
}

/// The first container that runs, though everything this process waited for is over.
fn running_container(state_dir: &Path) -> Option<String> {
    let entries = std::fs::read_dir(state_dir.join("containers")).into_iter().flatten().flatten();
    let runs = |dir: &Path| matches!(tink_oci::status(dir), Ok(Status::Running(_) | Status::Starting));
    entries.map(|entry| entry.path()).find(|dir| runs(dir))?.file_name()?.to_str().map(str::to_owned)
}
