//! `tink`: run a workflow here, lint and render templates, and talk to a tink-server.

mod args;
mod client;
mod commands;
mod exit;
mod load;
mod local;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    // Before any thread exists: this program, started again, is the shim that owns a container, or serves one.
    if let Some(code) = tink_runtime::helper_main_if_asked() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    if let Command::Action { args } = &cli.command {
        return action(args);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tink: failed to start its threads: {error}");
            return exit::code(exit::FAILED);
        }
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(code) => exit::code(code),
        Err(failure) => report(&failure),
    }
}

/// Runs a program of the project's own action image, which holds this very binary.
fn action(args: &[String]) -> ExitCode {
    let result = tink_actions::run(args, &tink_actions::ProcessEnvironment, &mut std::io::stdout().lock());
    if let Err(error) = &result {
        eprintln!("{error}");
    }
    tink_actions::exit_code(&result)
}

fn report(failure: &Failure) -> ExitCode {
    eprintln!("tink: {failure}");
    exit::code(failure.code())
}
