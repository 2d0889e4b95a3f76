//! Sizes of the binaries: of this build, and of the static ones if `cargo xtask static` made them.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::binaries;

pub fn run() -> Result<()> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/static");
    for name in ["tink-worker", "tink-server", "tink"] {
        let built = size(&binaries::path(name)?)?;
        let shipped = size(&shipped.join(name)).unwrap_or_else(|_| "not built: cargo xtask static".to_owned());
        println!("{name:<12} this build {built}, static {shipped}");
    }
    Ok(())
}

fn size(path: &Path) -> Result<String> {
    let bytes = path.metadata().with_context(|| format!("failed to look at {}", path.display()))?.len();
    Ok(format!("{:.2} MB", bytes as f64 / 1e6))
}
