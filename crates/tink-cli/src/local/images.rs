//! Images from files, given to the engine before anything is pulled.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use tink_runtime::Runtime;

use crate::exit::Failure;

const ARCHIVES: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.zst"];

/// Gives every OCI layout and archive of `dir` to the engine; `dir` may be a layout itself. Nothing for `None`.
///
/// # Errors
/// When there is none, or the engine refuses one.
pub async fn preload(runtime: &dyn Runtime, dir: Option<&Path>) -> Result<(), Failure> {
    let Some(dir) = dir else { return Ok(()) };
    for path in sources(dir)? {
        runtime.import_archive(&path).await.map_err(|error| Failure::from(anyhow::Error::from(error)))?;
    }
    Ok(())
}

/// In order of name, so that of two images of one name the same one wins every time.
fn sources(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    if is_layout(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    let doing = || format!("failed to read the folder of images {}", dir.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(doing).map_err(Failure::usage)? {
        let path = entry.with_context(doing)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_layout(&path) || (path.is_file() && ARCHIVES.iter().any(|end| name.ends_with(end))) {
            found.push(path);
        }
    }
    if found.is_empty() {
        let error = anyhow!("the folder {} holds no OCI layout and no {} file", dir.display(), ARCHIVES.join(", "));
        return Err(Failure::usage(error));
    }
    found.sort();
    Ok(found)
}

fn is_layout(path: &Path) -> bool {
    path.join("index.json").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_and_archives_are_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sources(dir.path()).unwrap_err().to_string().contains("holds no OCI layout"));
        for folder in ["layout", "other", "folder.tar"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for file in ["layout/index.json", "b.tar.zst", "a.tar", "notes.txt", "other/x.tar"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let found: Vec<_> = sources(dir.path()).unwrap();
        let expected: Vec<_> = ["a.tar", "b.tar.zst", "layout"].map(|name| dir.path().join(name)).into();
        assert_eq!(found, expected);
        assert_eq!(sources(&dir.path().join("layout")).unwrap(), [dir.path().join("layout")]);
        assert!(sources(&dir.path().join("missing")).is_err());
    }
}
