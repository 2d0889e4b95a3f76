//! The images we ship, of the programs under test.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tink_image::{ImageRef, Platform};
use tink_images::Product;

use crate::{Engine, TestRun, binary_path};

/// The image of worker, server, CLI or actions, as `cargo xtask images` makes it, in an archive of this run.
#[derive(Debug)]
pub struct ProductImage {
    reference: String,
    archive: PathBuf,
}

impl ProductImage {
    /// Packs the program under test under a name that no other run uses.
    ///
    /// # Errors
    /// When the program is not there or cannot be read.
    pub fn pack(run: &TestRun, product: Product) -> Result<Self> {
        let program = binary_path(product.program())?;
        let programs = program.parent().context("a program has no directory")?;
        let reference = format!("tink.test/{}/{product}:v1", run.name().replace('_', "-"));
        let archive = run.scratch().join(format!("{product}.tar"));
        let name = ImageRef::parse(&reference).with_context(|| format!("{reference} is no image's name"))?;
        product.image(Platform::host(), programs).write_archive(&archive, &name)?;
        Ok(Self { reference, archive })
    }

    /// Its name.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The archive, for `docker load` and the like.
    #[must_use]
    pub fn archive(&self) -> &std::path::Path {
        &self.archive
    }

    /// Loads it into an engine.
    ///
    /// # Errors
    /// When the engine refuses it.
    pub fn load(&self, run: &TestRun, engine: &Engine) -> Result<()> {
        let archive = self.archive.to_str().context("the path of the archive is not UTF-8")?;
        let loaded = engine.run(run, ["load", "--input", archive])?;
        ensure!(loaded.stdout.contains(&self.reference), "docker load printed {:?}", loaded.stdout);
        Ok(())
    }
}
