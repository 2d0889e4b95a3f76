//! Commands about what the embedded runtime has on this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Where the embedded runtime keeps its containers and images.
#[derive(Clone, Debug, Args)]
pub struct Machine {
    /// State directory of the worker.
    #[arg(long, env = "TINK_STATE_DIR", default_value = "/var/lib/tink-worker", value_hint = ValueHint::DirPath)]
    pub state_dir: PathBuf,
}

/// `tink logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Container id as `tink ps` lists it, or the name of an action, which means its latest container.
    pub container: String,
    /// Go on until the container ends.
    #[arg(short, long)]
    pub follow: bool,
    /// Put the time before each line.
    #[arg(short, long)]
    pub timestamps: bool,
    /// Where the container is.
    #[command(flatten)]
    pub machine: Machine,
}

/// `tink exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// Container id as `tink ps` lists it, or the name of an action, which means its latest container.
    pub container: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// A variable of the program's environment, as in `--env LANG=C`. May be repeated.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// `user[:group]` to run it as; the container's own if absent.
    #[arg(short, long)]
    pub user: Option<String>,
    /// Working directory in the container; the container's own if absent.
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// Where the container is.
    #[command(flatten)]
    pub machine: Machine,
}

/// `tink rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// Container ids as `tink ps` lists them.
    #[arg(required = true, value_name = "ID")]
    pub containers: Vec<String>,
    /// Running ones, too: everything in them is killed, and a worker that waits for one reports its action as failed.
    #[arg(short, long)]
    pub force: bool,
    /// Where the containers are.
    #[command(flatten)]
    pub machine: Machine,
}

/// Images of the embedded runtime.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Import images from OCI layouts (folders or tars, packed or not) and `docker save` archives.
    Import(ImportImages),
    /// List all, the one not used for longest first.
    List(Machine),
    /// Remove images that nothing runs on.
    Rm(RemoveImages),
}

/// `tink image import`.
#[derive(Debug, Args)]
pub struct ImportImages {
    /// Folders and archives.
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// Name of the image, instead of the one in the file; for one file with one image.
    #[arg(long)]
    pub name: Option<String>,
    /// Where the images go.
    #[command(flatten)]
    pub machine: Machine,
}

/// `tink image rm`.
#[derive(Debug, Args)]
pub struct RemoveImages {
    /// Names of images as `tink image list` shows them.
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Where the images are.
    #[command(flatten)]
    pub machine: Machine,
}
