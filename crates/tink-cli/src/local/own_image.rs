//! The project's own action image, made from this very binary: it is static, so it is all the image needs.

use std::path::Path;

use anyhow::Context as _;
use tink_image::ImageBuilder;
use tink_runtime::{Progress, Runtime};
use tink_workflow::ImageRef;

use crate::exit::Failure;

/// Its name. `localhost` is no registry that serves it, so an engine falls back on the image it was given.
pub const NAME: &str = "localhost/tink-actions:latest";

/// Gives the image to the engine, if one of `images` is it.
///
/// # Errors
/// When it cannot be made or the engine refuses it.
pub async fn provide<'i>(
    runtime: &dyn Runtime,
    images: impl IntoIterator<Item = &'i str>,
    state_dir: &Path,
) -> Result<(), Failure> {
    let wanted = |image: &str| ImageRef::parse(image).is_ok_and(|image| image.to_string() == NAME);
    if !images.into_iter().any(wanted) {
        return Ok(());
    }
    let archive = state_dir.join("tink-actions.tar");
    let path = archive.clone();
    tokio::task::spawn_blocking(move || write(&path)).await.context("failed to make the action image")??;
    let result = runtime.import_archive(&archive, &Progress::new()).await;
    std::fs::remove_file(&archive).context("failed to remove the archive of the action image")?;
    result.map(drop).map_err(|error| Failure::from(anyhow::Error::from(error)))
}

fn write(archive: &Path) -> Result<(), anyhow::Error> {
    let name = ImageRef::parse(NAME).context("failed to name the action image")?;
    // /proc/self/exe stays right when the file was replaced by a new build meanwhile.
    let built = ImageBuilder::new()
        .file("tink", Path::new("/proc/self/exe"), 0o755)
        .entrypoint(["/tink", "action"])
        .label("org.opencontainers.image.title", "tink-actions")
        .write_archive(archive, &name);
    built.map(drop).with_context(|| format!("failed to write the action image to {}", archive.display()))
}
