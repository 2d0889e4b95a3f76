//! Action programs of our own: what the project's own action image runs.
//!
//! The image holds one static binary that has this crate inside; its entrypoint calls [`run`] and the action's
//! `command` says which program:
//!
//! | command | does |
//! |---|---|
//! | `greet [NAME…]` | says hello, and from which machine and kernel |
//! | `count --to N [--delay-ms MS]` | counts, one line a number |
//! | `say-goodbye` | ends the example |
//!
//! Exit codes: 0 done, 1 the program failed, 64 the command is wrong.

mod hello;

use std::io::Write;
use std::process::ExitCode;

/// A command line that no program of ours understands.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// No such program.
    #[error("there is no action program {found:?}; there are: greet, count, say-goodbye")]
    UnknownProgram {
        /// What was asked for.
        found: String,
    },
    /// A program got an argument it does not understand.
    #[error("{program} does not understand {found:?}; usage: {usage}")]
    Usage {
        /// The program.
        program: &'static str,
        /// The argument.
        found: String,
        /// How it is called.
        usage: &'static str,
    },
    /// Its output could not be written.
    #[error("failed to write output")]
    Output(#[source] std::io::Error),
}

/// Runs the program that `args` names, writing to `out`.
///
/// # Errors
/// [`ActionError`]; [`exit_code`] turns it into the exit code.
pub fn run(args: &[String], out: &mut dyn Write) -> Result<(), ActionError> {
    let (program, rest) = args.split_first().map_or(("", args), |(program, rest)| (program.as_str(), rest));
    match program {
        "greet" => hello::greet(rest, out),
        "count" => hello::count(rest, out),
        "say-goodbye" => hello::say_goodbye(rest, out),
        other => Err(ActionError::UnknownProgram { found: other.to_owned() }),
    }
}

/// The exit code for what [`run`] returned.
#[must_use]
pub fn exit_code(result: &Result<(), ActionError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(ActionError::UnknownProgram { .. } | ActionError::Usage { .. }) => ExitCode::from(64),
        Err(ActionError::Output(_)) => ExitCode::FAILURE,
    }
}
