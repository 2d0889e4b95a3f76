//! Where the files of a machine are.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// More than any of these files has; a file system made to confuse must not fill the memory.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A machine: this one, or the files of one below a directory.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    is_this: bool,
}

impl Machine {
    /// The machine that this program runs on.
    #[must_use]
    pub fn this() -> Self {
        Self { root: PathBuf::from("/"), is_this: true }
    }

    /// The machine whose `proc`, `sys` and `run` are below `root`; the kernel is not asked.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), is_this: false }
    }

    /// Whether the kernel can be asked for what files do not say.
    pub(crate) fn is_this(&self) -> bool {
        self.is_this
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file's text without space around it; `None` where it cannot be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        fs::File::open(self.path(path)).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The names in a directory, sorted; none where it cannot be read.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// What a link says.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        Some(fs::read_link(self.path(path)).ok()?.to_string_lossy().into_owned())
    }

    /// The last part of what a link says.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let link = self.link(path)?;
        Some(Path::new(&link).file_name()?.to_string_lossy().into_owned())
    }

    pub(crate) fn has_dir(&self, path: &str) -> bool {
        self.path(path).is_dir()
    }
}
