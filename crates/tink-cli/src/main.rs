//! `tink`: run a workflow here, lint and render templates, and talk to a tink-server.

mod action;
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
        return action::run(args);
    }
    // Still one thread: process 1 of a container keeps us, who are a child of it.
    if let Some(code) = tink_runtime::keep_if_first_process() {
        return code;
    }
    if matches!(cli.command, Command::Run(_) | Command::Up(_))
        && let Some(code) = tink_runtime::start_forker()
    {
        return code;
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

fn report(failure: &Failure) -> ExitCode {
    eprintln!("tink: {failure}");
    exit::code(failure.code())
}
