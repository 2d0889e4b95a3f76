//! Images from files, given to the engine before anything is pulled.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use tink_runtime::{Runtime, image_archives};

use crate::exit::Failure;

/// Gives every OCI layout and archive of `dir` to the engine; `dir` may be a layout itself. Nothing for `None`.
///
/// # Errors
/// When there is none, or the engine refuses one.
pub async fn preload(runtime: &dyn Runtime, dir: Option<&Path>) -> Result<(), Failure> {
    let Some(dir) = dir else { return Ok(()) };
    let named = dir.display();
    let doing = || format!("failed to read the folder of images {named}");
    let archives = image_archives(dir).with_context(doing).map_err(Failure::usage)?;
    if archives.is_empty() {
        let ends = "(.tar, .tar.gz, .tgz, .tar.zst)";
        return Err(Failure::usage(anyhow!("the folder {named} holds no OCI layout and no image archive {ends}")));
    }
    for path in archives {
        runtime.import_archive(&path).await.map_err(|error| Failure::from(anyhow::Error::from(error)))?;
    }
    Ok(())
}
