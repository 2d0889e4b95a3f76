//! The command line.

mod machine;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub use machine::{Exec, ImageCommand, ImportImages, Logs, Machine, RemoveImages, Rm};

/// Run Tinkerbell workflows here, check templates, and talk to a tink-server.
#[derive(Debug, Parser)]
#[command(name = "tink", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to reach the server.
    #[command(flatten)]
    pub server: Server,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// What of its own doings tink logs to stderr, for example `info` or `tink_worker=debug`.
    #[arg(long, global = true, env = "TINK_LOG", default_value = "off", hide_env_values = true)]
    pub log: String,
}

/// How to reach the server.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Address of tink-server: `https://host:port`, `http://host:port` (plaintext), or `host:port`, which means
    /// plaintext on loopback and TLS anywhere else.
    #[arg(long, global = true, env = "TINK_SERVER", default_value = "127.0.0.1:42113")]
    pub server: String,
    /// PEM file with the CA that signed the server's certificate, beside the usual ones.
    #[arg(long, global = true, env = "TINK_CA_FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One JSON value.
    Json,
    /// YAML documents.
    Yaml,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the workflows of a folder here: a server and its workers in this process, on an embedded store.
    ///
    /// Templates find files beside them by `{{ .folder }}`: the absolute path of the folder, put into the hardware map of
    /// every workflow that does not set `folder` itself.
    Up(Up),
    /// Run a workflow or a rendered template here, with no server.
    Run(Run),
    /// Create or replace every hardware and template of the files, and create their workflows.
    Apply(Files),
    /// Templates: check and render them here, keep them on the server.
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Hardware on the server.
    #[command(subcommand)]
    Hardware(ObjectCommand),
    /// Workflows on the server.
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Workers that the server has seen.
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// List the containers that the embedded runtime has on this machine.
    Ps(Machine),
    /// Print what a container of this machine wrote.
    Logs(Logs),
    /// Run a program in a running container of this machine; on a terminal if stdin is one.
    Exec(Exec),
    /// Remove containers from this machine.
    Rm(Rm),
    /// Images that the embedded runtime has on this machine.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Run a program of the project's own action image.
    #[command(hide = true)]
    Action {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Where containers run, for the commands that run some here.
#[derive(Clone, Debug, Args)]
pub struct Engine {
    /// Container engine.
    #[arg(long, value_enum, default_value_t = RuntimeName::Auto, env = "TINK_RUNTIME")]
    pub runtime: RuntimeName,
    /// Socket of the Docker engine.
    #[arg(long, default_value = "/var/run/docker.sock", env = "TINK_DOCKER_SOCKET")]
    pub docker_socket: PathBuf,
    /// Socket of containerd.
    #[arg(long, default_value = tink_runtime::DEFAULT_CONTAINERD_SOCKET, env = "TINK_CONTAINERD_SOCKET")]
    pub containerd_socket: PathBuf,
    /// Namespace in containerd.
    #[arg(long, default_value = tink_runtime::DEFAULT_CONTAINERD_NAMESPACE, env = "TINK_CONTAINERD_NAMESPACE")]
    pub containerd_namespace: String,
    /// Folder where nerdctl looks for the logs of containerd's containers.
    #[arg(long, default_value = tink_runtime::DEFAULT_CONTAINERD_DATA_ROOT, env = "TINK_CONTAINERD_DATA_ROOT")]
    pub containerd_data_root: PathBuf,
    /// Folder for the store, the journal and images; kept. Without it a temporary one, removed at the end.
    #[arg(long, value_hint = ValueHint::DirPath, env = "TINK_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Folder with OCI layouts and image archives (.tar, .tar.gz, .tgz, .tar.zst) to give to the engine first.
    #[arg(long, value_hint = ValueHint::DirPath, env = "TINK_IMAGES")]
    pub images: Option<PathBuf>,
    /// Registry host that the user name and password belong to.
    #[arg(long, env = "REGISTRY_NAME")]
    pub registry_name: Option<String>,
    /// User name for that registry.
    #[arg(long, env = "REGISTRY_USERNAME")]
    pub registry_user: Option<String>,
    /// File that holds the password; the variable REGISTRY_PASSWORD does as well.
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub registry_password_file: Option<PathBuf>,
    /// Registries that may be spoken to without TLS.
    #[arg(long, value_delimiter = ',', env = "INSECURE_REGISTRIES")]
    pub insecure_registries: Vec<String>,
}

/// Container engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuntimeName {
    /// Docker where its socket answers, else containerd where its own does, else the embedded runtime.
    Auto,
    /// The Docker engine.
    Docker,
    /// containerd.
    Containerd,
    /// No engine: this binary runs the containers itself. Needs root.
    Embedded,
}

/// `tink up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Folder with hardware, templates and workflows as YAML files.
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Where containers run.
    #[command(flatten)]
    pub engine: Engine,
    /// Plain lines even on a terminal.
    #[arg(long)]
    pub plain: bool,
}

/// `tink run`.
#[derive(Debug, Args)]
pub struct Run {
    /// A workflow manifest with its template and hardware, a template, or a rendered template. `-` reads stdin.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// What the template is rendered with.
    #[command(flatten)]
    pub values: Values,
    /// Where containers run.
    #[command(flatten)]
    pub engine: Engine,
    /// Plain lines even on a terminal.
    #[arg(long)]
    pub plain: bool,
}

/// What a template is rendered with.
#[derive(Clone, Debug, Default, Args)]
pub struct Values {
    /// A key of the hardware map, as in `--set device_1=02:00:00:00:00:01`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// File with the Hardware manifest the template sees as `.hardware`.
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub hardware: Option<PathBuf>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form KEY=VALUE")),
    }
}

/// Files with manifests.
#[derive(Debug, Args)]
pub struct Files {
    /// YAML files or folders of them; `-` reads stdin.
    #[arg(short, long = "file", required = true, value_hint = ValueHint::AnyPath)]
    pub file: Vec<PathBuf>,
}

/// Names an object.
#[derive(Clone, Debug, Args)]
pub struct Name {
    /// `name` or `namespace/name`.
    pub name: String,
    /// Namespace of a name without one.
    #[arg(short, long, default_value = "default", env = "TINK_NAMESPACE")]
    pub namespace: String,
}

/// Narrows a list.
#[derive(Clone, Debug, Args)]
pub struct Scope {
    /// Only this namespace; all without it.
    #[arg(short, long, env = "TINK_NAMESPACE")]
    pub namespace: Option<String>,
}

/// Hardware on the server.
#[derive(Debug, Subcommand)]
pub enum ObjectCommand {
    /// Create or replace those of the files.
    Apply(Files),
    /// Show one.
    Get(Name),
    /// List all.
    List(Scope),
    /// Delete one.
    Delete(Name),
}

/// Templates.
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Check templates here: syntax, and with values everything the server checks.
    Lint(Lint),
    /// Render a template here and print the result.
    Render(Render),
    /// Create or replace those of the files.
    Apply(Files),
    /// Show one.
    Get(Name),
    /// List all.
    List(Scope),
    /// Delete one.
    Delete(Name),
}

/// `tink template lint`.
#[derive(Debug, Args)]
pub struct Lint {
    /// Template files; `-` reads stdin.
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// What the templates are rendered with.
    #[command(flatten)]
    pub values: Values,
    /// Warnings fail, too.
    #[arg(long)]
    pub strict: bool,
}

/// `tink template render`.
#[derive(Debug, Args)]
pub struct Render {
    /// Template file; `-` reads stdin.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// What the template is rendered with.
    #[command(flatten)]
    pub values: Values,
}

/// Workflows on the server.
#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// Create workflows, from files or from a template and hardware on the server.
    Create(CreateWorkflow),
    /// Show one with every action.
    Get(Name),
    /// List all.
    List(ListWorkflows),
    /// Follow one to its end; the exit code says how it ended.
    Watch(WatchWorkflow),
    /// What happened to one.
    Events(Name),
    /// End one CANCELLED.
    Cancel(CancelWorkflow),
    /// Delete one in any state.
    Delete(Name),
}

/// `tink workflow create`.
#[derive(Debug, Args)]
pub struct CreateWorkflow {
    /// Files with Workflow manifests; `-` reads stdin.
    #[arg(short, long = "file", conflicts_with_all = ["name", "template"], value_hint = ValueHint::AnyPath)]
    pub file: Vec<PathBuf>,
    /// Name of the new workflow.
    #[arg(long, required_unless_present = "file", requires = "template")]
    pub name: Option<String>,
    /// Template on the server.
    #[arg(long)]
    pub template: Option<String>,
    /// Hardware on the server.
    #[arg(long)]
    pub hardware: Option<String>,
    /// A key of the hardware map, as in `--set device_1=02:00:00:00:00:01`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Namespace of the new workflow.
    #[arg(short, long, default_value = "default", env = "TINK_NAMESPACE")]
    pub namespace: String,
    /// Follow the new workflows to their end.
    #[arg(short, long)]
    pub watch: bool,
}

/// `tink workflow list`.
#[derive(Debug, Args)]
pub struct ListWorkflows {
    /// Where to look.
    #[command(flatten)]
    pub scope: Scope,
    /// Only those with a task of this worker.
    #[arg(long)]
    pub worker: Option<String>,
    /// Only those in one of these states.
    #[arg(long, value_delimiter = ',')]
    pub state: Vec<String>,
}

/// `tink workflow watch`.
#[derive(Debug, Args)]
pub struct WatchWorkflow {
    /// Which one.
    #[command(flatten)]
    pub name: Name,
    /// Give up after this long, for example `90s` or `15m`; exit code 1.
    #[arg(long, value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `tink workflow cancel`.
#[derive(Debug, Args)]
pub struct CancelWorkflow {
    /// Which one.
    #[command(flatten)]
    pub name: Name,
    /// Why, for whoever looks later.
    #[arg(long, default_value = "cancelled by an operator")]
    pub reason: String,
}

/// Workers.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// List all that the server has seen.
    List,
    /// Show one; with -o yaml or -o json, with all that it found on its machine.
    Get {
        /// Its id.
        id: String,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(span).map_err(|_| "a time to wait cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_and_durations_say_what_is_wrong() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("=b").is_err() && key_value("a").is_err());
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("-5s").is_err() && duration("soon").is_err());
    }
}
