//! Images from files, given to the engine before anything is pulled.

use std::path::{Path, PathBuf};

const ENDS: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.zst"];

/// Every image archive and OCI layout in `dir`, which may be a layout itself; in order of name, so that of two images of one
/// name the same one wins every time. Each can be given to [`crate::Runtime::import_archive`].
///
/// # Errors
/// When the directory cannot be read.
pub fn image_archives(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    if is_layout(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_layout(&path) || (path.is_file() && ENDS.iter().any(|end| name.ends_with(end))) {
            found.push(path);
        }
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
        assert!(image_archives(dir.path()).unwrap().is_empty());
        for folder in ["layout", "other", "folder.tar"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for file in ["layout/index.json", "b.tar.zst", "a.tar", "notes.txt", "other/x.tar"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let expected: Vec<_> = ["a.tar", "b.tar.zst", "layout"].map(|name| dir.path().join(name)).into();
        assert_eq!(image_archives(dir.path()).unwrap(), expected);
        assert_eq!(image_archives(&dir.path().join("layout")).unwrap(), [dir.path().join("layout")]);
        assert!(image_archives(&dir.path().join("missing")).is_err());
    }
}
