//! Files people have, read as manifests.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use tink_manifest::Manifest;

use crate::exit::Failure;

/// Reads every manifest of the files, folders (their `.yaml`, `.yml` and `.json` files, in order of name) and `-` (stdin).
///
/// # Errors
/// What cannot be read, or every problem of the first file that has one.
pub fn files(paths: &[PathBuf]) -> Result<Vec<Manifest>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            all.extend(folder(path)?);
        } else {
            all.extend(file(path)?);
        }
    }
    Ok(all)
}

/// Reads every manifest of a folder.
///
/// # Errors
/// As [`files`]; a folder without manifests is an error, too.
pub fn folder(path: &Path) -> Result<Vec<Manifest>, Failure> {
    let doing = || format!("failed to read the folder {}", path.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).with_context(doing).map_err(Failure::usage)? {
        let path = entry.with_context(doing).map_err(Failure::usage)?.path();
        if path.is_file() && is_manifest(&path) {
            names.push(path);
        }
    }
    names.sort();
    if names.is_empty() {
        return Err(Failure::usage(anyhow!("the folder {} holds no .yaml, .yml or .json file", path.display())));
    }
    let mut all = Vec::new();
    for name in names {
        all.extend(file(&name)?);
    }
    Ok(all)
}

/// Golden files are what templates render to, not what anybody applies.
fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.')
        && !name.contains(".golden.")
        && [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

/// Reads every manifest of a file.
///
/// # Errors
/// As [`files`].
pub fn file(path: &Path) -> Result<Vec<Manifest>, Failure> {
    let (bytes, name) = bytes(path)?;
    tink_manifest::read_file(&bytes, &name).map_err(Failure::usage)
}

/// Reads a file whole; `-` is stdin. Returns the name to show with it.
///
/// # Errors
/// When it cannot be read.
pub fn bytes(path: &Path) -> Result<(Vec<u8>, String), Failure> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("failed to read stdin")?;
        return Ok((bytes, "stdin".to_owned()));
    }
    let bytes =
        std::fs::read(path).with_context(|| format!("failed to read {}", path.display())).map_err(Failure::usage)?;
    Ok((bytes, path.display().to_string()))
}

/// The template text of a file: of the one Template manifest in it, or the file itself.
///
/// # Errors
/// When it cannot be read, or holds no template or several.
pub fn template(path: &Path) -> Result<(String, String), Failure> {
    let (bytes, name) = bytes(path)?;
    let manifests = tink_manifest::read_file(&bytes, &name).map_err(Failure::usage)?;
    let mut templates = manifests.into_iter().filter_map(|manifest| match manifest {
        Manifest::Template(template) => Some(template),
        Manifest::Hardware(_) | Manifest::Workflow(_) => None,
    });
    match (templates.next(), templates.next()) {
        (Some(template), None) => Ok((template.data, name)),
        (None, _) => Err(Failure::usage(anyhow!("{name} holds no template"))),
        (Some(_), Some(_)) => Err(Failure::usage(anyhow!("{name} holds several templates; one is expected"))),
    }
}
