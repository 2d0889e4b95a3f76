//! Packs static programs into images: an OCI layout with one index an image, and an archive a platform.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tink_image::{Credential, ImageBuilder, ImageRef, IndexBuilder, Platform, Registries, RegistryConfig, Secret};
use tink_images::Product;

/// Packs static programs into images, without a container engine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the programs for an architecture (in Go's words) lie; may be given once for each.
    #[arg(long, value_name = "ARCH=DIR", required = true)]
    programs: Vec<Programs>,
    /// Where the images go: `layout/` (all of them, an OCI layout) and `<name>-<arch>.tar` (for `docker load`).
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What comes before the images' own names.
    #[arg(long, default_value = "ghcr.io/tinkerbell")]
    repository: String,
    /// Their tag.
    #[arg(long, default_value = concat!("v", env!("CARGO_PKG_VERSION")))]
    tag: String,
    /// Push them, too; the password is taken from the variable REGISTRY_PASSWORD.
    #[arg(long)]
    push: bool,
    /// Who pushes; nobody in particular where it is left out.
    #[arg(long, env = "REGISTRY_USERNAME")]
    username: Option<String>,
    /// A registry that may be spoken to without TLS or with a certificate that nobody vouches for.
    #[arg(long, value_name = "HOST[:PORT]")]
    insecure_registry: Vec<String>,
}

#[derive(Clone, Debug)]
struct Programs {
    architecture: String,
    directory: PathBuf,
}

impl std::str::FromStr for Programs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((architecture, directory)) if !architecture.is_empty() && !directory.is_empty() => {
                Ok(Self { architecture: architecture.to_owned(), directory: PathBuf::from(directory) })
            }
            _ => Err("write it as ARCH=DIR, such as arm64=target/static/arm64".to_owned()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let layout = arguments.out.join("layout");
    // Blobs of an earlier time would stay for ever.
    if layout.exists() {
        std::fs::remove_dir_all(&layout).with_context(|| format!("failed to remove {}", layout.display()))?;
    }
    for product in Product::ALL {
        let name = format!("{}/{}:{}", arguments.repository, product.image_name(), arguments.tag);
        let name = ImageRef::parse(&name).with_context(|| format!("no image can be named {name}"))?;
        let mut index = IndexBuilder::new();
        for programs in &arguments.programs {
            let program = programs.directory.join(product.program());
            if !program.is_file() {
                bail!("{} is not there: build it with `cargo xtask static`", program.display());
            }
            let image = product.image(Platform::linux(&programs.architecture), &programs.directory);
            write_archive(&arguments.out, product, programs, &image, &name)?;
            index.image(image);
        }
        let digest = index.write_layout(&layout, &name).with_context(|| format!("failed to write {name}"))?;
        println!("{name}@{digest}");
        if arguments.push {
            let registries = registries(&arguments)?;
            index.push(&registries, &name, &arguments.out).await.with_context(|| format!("failed to push {name}"))?;
            println!("pushed {name}");
        }
    }
    println!("OCI layout: {}", layout.display());
    Ok(())
}

fn write_archive(
    out: &Path,
    product: Product,
    programs: &Programs,
    image: &ImageBuilder,
    name: &ImageRef,
) -> Result<()> {
    let archive = out.join(format!("{product}-{}.tar", programs.architecture));
    std::fs::create_dir_all(out).with_context(|| format!("failed to make {}", out.display()))?;
    let built =
        image.write_archive(&archive, name).with_context(|| format!("failed to write {}", archive.display()))?;
    println!("{}: {:.1} MB, image {}", archive.display(), built.bytes as f64 / 1e6, built.id);
    Ok(())
}

fn registries(arguments: &Arguments) -> Result<Registries> {
    let mut config = RegistryConfig { insecure: arguments.insecure_registry.clone(), ..RegistryConfig::default() };
    if let Some(username) = arguments.username.clone().filter(|name| !name.is_empty()) {
        let password =
            std::env::var("REGISTRY_PASSWORD").context("a user name is given and REGISTRY_PASSWORD is not")?;
        let registry = arguments.repository.split('/').next().unwrap_or_default().to_owned();
        config.credentials.push(Credential { registry, username, password: Secret::new(password) });
    }
    Registries::new(config).context("the settings for registries cannot be used")
}
