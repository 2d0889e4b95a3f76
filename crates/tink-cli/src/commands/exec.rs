//! `tink exec`: a further program in a running container.

use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;

use anyhow::Context as _;
use tink_oci::ExecRequest;

use crate::args::Exec;
use crate::commands::machine::find;
use crate::exit::Failure;

/// Becomes the program, so that signals and the exit code are its own. Returns only if that fails.
pub fn run(args: Exec) -> Failure {
    let container = match find(&args.machine, &args.container) {
        Ok(container) => container,
        Err(failure) => return failure,
    };
    let request = ExecRequest {
        args: args.command,
        env: args.env,
        cwd: args.workdir,
        user: args.user,
        tty: std::io::stdin().is_terminal(),
    };
    let doing = || format!("failed to run a program in {}", container.id);
    match tink_oci::exec_command(&container.dir, request).with_context(doing) {
        Ok(mut command) => anyhow::Error::from(command.exec()).context(doing()).into(),
        Err(error) => error.into(),
    }
}
