//! Where the store, the journal and images are.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

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

    /// Removes a temporary folder and says so if that fails.
    pub fn close(self) {
        if let Some(temporary) = self.temporary
            && let Err(error) = temporary.close()
        {
            eprintln!("tink: failed to remove {}: {error}", self.path.display());
        }
    }
}
