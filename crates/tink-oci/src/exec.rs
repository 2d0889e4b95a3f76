//! Running a further program in a running container, from the caller's side.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::record::Record;
use crate::shim::{EXEC_ARGUMENT, SHIM_NAME};
use crate::status::{Status, StatusError, status};

/// A program to run in a running container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value` pairs on top of the container's own.
    pub env: Vec<String>,
    /// The working directory; the container's own if absent.
    pub cwd: Option<String>,
    /// `user[:group]`; the container's own if absent.
    pub user: Option<String>,
    /// Whether the program gets a terminal of its own, which the caller's is connected to.
    pub tty: bool,
}

/// What the shim is told.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExecOrder {
    pub(crate) record: Record,
    pub(crate) request: ExecRequest,
}

/// A command that runs a program in the container whose state directory is `dir`, ready to be spawned.
///
/// Its standard streams are whatever the caller gives it. It ends with the program's exit code (128 + n for signal n), or,
/// after a message on its standard error, with 125 (the container could not be entered), 126 or 127 as shells do.
///
/// # Errors
/// The container does not run.
pub fn exec_command(dir: &Path, request: ExecRequest) -> Result<Command, ExecError> {
    let record = match status(dir)? {
        Status::Running(record) => *record,
        Status::Starting | Status::Exited(_) | Status::Gone => {
            return Err(ExecError::NotRunning { dir: dir.to_owned() });
        }
    };
    if request.args.is_empty() {
        return Err(ExecError::NoProgram);
    }
    let order = serde_json::to_string(&ExecOrder { record, request }).map_err(ExecError::Encode)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(SHIM_NAME).arg(EXEC_ARGUMENT).arg(order);
    Ok(command)
}

/// A program cannot be run in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container does not run.
    #[error("the container in {dir:?} does not run")]
    NotRunning {
        /// The state directory.
        dir: PathBuf,
    },
    /// There is nothing to run.
    #[error("no program to run")]
    NoProgram,
    /// The order cannot be written down.
    #[error("failed to encode the order")]
    Encode(#[source] serde_json::Error),
    /// It cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
}
