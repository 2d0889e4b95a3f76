//! Images from files, given to the engine before anything is pulled.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use tink_runtime::{Progress, Runtime, image_archives};

use crate::args::Engine;
use crate::exit::Failure;
use crate::progress::show_import;

/// Gives every OCI layout and archive of `dir` to the engine; `dir` may be a layout itself. Nothing for `None`.
///
/// # Errors
/// When there is none, or the engine refuses one.
pub async fn preload(runtime: &dyn Runtime, dir: Option<&Path>, plain: bool) -> Result<(), Failure> {
    let Some(dir) = dir else { return Ok(()) };
    let named = dir.display();
    let doing = || format!("failed to read the folder of images {named}");
    let archives = image_archives(dir).with_context(doing).map_err(Failure::usage)?;
    if archives.is_empty() {
        let ends = "(.tar, .tar.gz, .tgz, .tar.zst)";
        return Err(Failure::usage(anyhow!("the folder {named} holds no OCI layout and no image archive {ends}")));
    }
    for path in archives {
        let progress = Progress::new();
        let importing = runtime.import_archive(&path, &progress);
        let imported = show_import(&path, plain, &progress, importing).await;
        imported.map_err(|error| Failure::from(anyhow::Error::from(error)))?;
    }
    Ok(())
}

/// Makes images that stay outlive a loss of power: those in a directory that was named, and not in a temporary one.
pub async fn settle(runtime: &dyn Runtime, args: &Engine) {
    if args.state_dir.is_some() {
        runtime.settle().await;
    }
}
