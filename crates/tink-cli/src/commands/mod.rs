//! One module a family of commands.

mod apply;
mod exec;
mod image;
mod logs;
mod machine;
mod object;
mod ps;
mod rm;
mod run;
mod template;
mod up;
pub mod watch;
mod worker;
pub mod workflow;

use crate::args::{Cli, Command, TemplateCommand, WorkerCommand};
use crate::client::Client;
use crate::exit::{DONE, Failure};
use crate::output;

/// Carries the command out and returns the exit code.
///
/// # Errors
/// What it failed at; the exit code is in it.
pub async fn run(cli: Cli) -> Result<u8, Failure> {
    log(&cli.log)?;
    let connect = || Client::connect(&cli.server);
    match cli.command {
        Command::Up(args) => up::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Apply(files) => apply::run(connect().await?, &files, cli.output).await,
        Command::Template(TemplateCommand::Lint(args)) => template::lint(&args),
        Command::Template(TemplateCommand::Render(args)) => template::render(&args),
        Command::Template(command) => object::template(connect().await?, command, cli.output).await,
        Command::Hardware(command) => object::hardware(connect().await?, command, cli.output).await,
        Command::Workflow(command) => workflow::run(connect().await?, command, cli.output).await,
        Command::Worker(WorkerCommand::List) => worker::list(connect().await?, cli.output).await,
        Command::Worker(WorkerCommand::Get { id }) => worker::get(connect().await?, id, cli.output).await,
        Command::Ps(args) => ps::run(&args, cli.output),
        Command::Logs(args) => logs::run(&args).await,
        Command::Exec(args) => Err(exec::run(args)),
        Command::Rm(args) => rm::run(&args).await,
        Command::Image(command) => image::run(command, cli.output).await,
        Command::Completion { shell } => completion(shell),
        // main runs it before any thread is there.
        Command::Action { .. } => Ok(DONE),
    }
}

fn completion(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "tink", &mut out);
    output::write(&out)?;
    Ok(DONE)
}

fn log(filter: &str) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(anyhow::anyhow!("--log {filter:?} is no log filter: {error}")))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
