//! Images for several platforms under one name.

use std::path::Path;

use tink_workflow::ImageRef;

use super::{ImageBuilder, layout, push};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::registry::Registries;

/// One image a platform, under one name: an OCI image index.
///
/// ```no_run
/// use std::path::Path;
/// use tink_image::{ImageBuilder, ImageRef, IndexBuilder, Platform};
/// let image = |platform: Platform, program: &str| {
///     let mut image = ImageBuilder::new();
///     image.platform(platform).file("/hello", Path::new(program), 0o755).entrypoint(["/hello"]);
///     image
/// };
/// let mut index = IndexBuilder::new();
/// index.image(image(Platform::linux("amd64"), "out/amd64/hello")).image(image(Platform::linux("arm64"), "out/arm64/hello"));
/// index.write_layout(Path::new("layout"), &ImageRef::parse("registry.example/hello:v1").unwrap())?;
/// # Ok::<(), tink_image::ImageError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct IndexBuilder {
    images: Vec<ImageBuilder>,
}

impl IndexBuilder {
    /// An index of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image; its platform says for which machines it is.
    pub fn image(&mut self, image: ImageBuilder) -> &mut Self {
        self.images.push(image);
        self
    }

    /// Writes the images and their index into an OCI layout, beside what is there already; an image of the same name is
    /// replaced in the layout's index. Answers with the digest of the index. Blocks.
    ///
    /// # Errors
    /// [`ImageError::File`] where a file cannot be read or written.
    pub fn write_layout(&self, directory: &Path, name: &ImageRef) -> Result<Digest, ImageError> {
        layout::write_index(&self.images, directory, name).map(|(index, _)| index.digest)
    }

    /// Pushes the images and their index; `work` is a directory for the blobs meanwhile.
    ///
    /// # Errors
    /// [`ImageError`]; see [`ImageError::retryable`].
    pub async fn push(&self, registries: &Registries, name: &ImageRef, work: &Path) -> Result<Digest, ImageError> {
        let scratch = layout::Scratch::new(work)?;
        let (images, directory, image) = (self.images.clone(), scratch.path().to_owned(), name.clone());
        let pack = move || layout::write_index(&images, &directory, &image);
        let (index, built) = crate::store::blocking("pack an image", pack).await?;
        push::push_index(registries, scratch.path(), name, &index, &built).await?;
        Ok(index.digest)
    }
}
