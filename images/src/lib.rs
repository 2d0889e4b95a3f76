//! What is in the images of worker, server, CLI and actions: one static program each, and nothing beside it.
//!
//! No engine and no Dockerfile is needed: `cargo xtask images` builds the programs and writes the images with
//! [`tink_image::ImageBuilder`]. The same programs give the same digests.
//!
//! ```no_run
//! use std::path::Path;
//! use tink_image::{ImageRef, Platform};
//! use tink_images::Product;
//!
//! let image = Product::Worker.image(Platform::linux("amd64"), Path::new("target/static"));
//! image.write_archive(Path::new("tink-worker.tar"), &ImageRef::parse("registry.example/tink-worker:v1").unwrap())?;
//! # Ok::<(), tink_image::ImageError>(())
//! ```
//!
//! # Where the worker lies, and why
//!
//! CaptainOS does not run the worker's image: its set-up script exports the image and takes the first member of any gzip
//! or plain layer whose name is exactly `usr/bin/tink-agent`, `tink-agent`, `usr/local/bin/tink-agent` or
//! `usr/bin/tink-worker`. So the program is a regular file under one of those names (a second name as a link would be
//! found, too, and be extracted as an empty or dangling file), the layer is gzip, and no name begins with `./`.
//! OSIE and Hook run the image as it is, by its entrypoint.

use std::fmt;
use std::path::Path;

use tink_image::{ImageBuilder, Platform};

/// A program that has an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// tink-worker, for OSIE, Hook and CaptainOS.
    Worker,
    /// tink-server; its database is in `/var/lib/tink`: mount something there.
    Server,
    /// The CLI.
    Cli,
    /// The project's own action programs; an action's `command` says which. They are in the CLI's program.
    Actions,
}

impl Product {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Worker, Self::Server, Self::Cli, Self::Actions];

    /// The last part of the image's name, as upstream's images of 2021 had it.
    #[must_use]
    pub fn image_name(self) -> &'static str {
        match self {
            Self::Worker => "tink-worker",
            Self::Server => "tink-server",
            Self::Cli => "tink-cli",
            Self::Actions => "tink-actions",
        }
    }

    /// The file name of the program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Worker => "tink-worker",
            Self::Server => "tink-server",
            Self::Cli | Self::Actions => "tink",
        }
    }

    /// What the program is called with before anything that a container adds.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Worker | Self::Server | Self::Cli => &[],
            Self::Actions => &["action"],
        }
    }

    /// The image for a platform, of the program in a directory. The program is read when the image is written.
    #[must_use]
    pub fn image(self, platform: Platform, programs: &Path) -> ImageBuilder {
        let inside = format!("/usr/bin/{}", self.program());
        let mut image = ImageBuilder::new();
        image
            .platform(platform)
            .file(&inside, &programs.join(self.program()), 0o755)
            .entrypoint([&[inside.as_str()][..], self.arguments()].concat())
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .label("org.opencontainers.image.title", self.image_name())
            .label("org.opencontainers.image.version", env!("CARGO_PKG_VERSION"))
            .label("org.opencontainers.image.source", env!("CARGO_PKG_REPOSITORY"))
            .label("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE"));
        image
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.image_name())
    }
}
