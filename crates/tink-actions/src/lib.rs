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
//! | `image2disk` | streams a disk image from a URL onto a disk; the variables of Tinkerbell's action of that name |
//! | `writefile` | writes a file into a file system; the variables of Tinkerbell's action of that name |
//! | `checkfile` | checks what `writefile` wrote; the same variables |
//! | `waitdaemon [COMMAND…]` | reports success, then runs another image; the variables of the action image of that name |
//!
//! Exit codes: 0 done, 1 the program failed, 64 the command or a variable is wrong; 128 + n where the caller ends it at the
//! signal n, as `tink` does.

mod environment;
mod error;
mod hello;
mod image2disk;
mod mounted;
mod waitdaemon;
mod writefile;

use std::io::Write;
use std::process::ExitCode;

pub use environment::{Environment, ProcessEnvironment};
pub use error::ActionError;

/// Runs the program that `args` names with the variables of `environment`, writing to `out`.
///
/// # Errors
/// [`ActionError`]; [`exit_code`] turns it into the exit code.
pub fn run(args: &[String], environment: &dyn Environment, out: &mut dyn Write) -> Result<(), ActionError> {
    let (program, rest) = args.split_first().map_or(("", args), |(program, rest)| (program.as_str(), rest));
    match program {
        "greet" => hello::greet(rest, out),
        "count" => hello::count(rest, out),
        "say-goodbye" => hello::say_goodbye(rest, out),
        "image2disk" => image2disk::run(environment, out),
        "writefile" => writefile::run(environment, out),
        "checkfile" => writefile::check(environment, out),
        "waitdaemon" => waitdaemon::run(environment, out),
        other => Err(ActionError::UnknownProgram { found: other.to_owned() }),
    }
}

/// The exit code for what [`run`] returned.
#[must_use]
pub fn exit_code(result: &Result<(), ActionError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_usage() => ExitCode::from(64),
        Err(_) => ExitCode::FAILURE,
    }
}
