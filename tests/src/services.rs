//! What tests share, kept by a process of its own whose life is tied to a pipe.
//!
//! A test program has no end at which it could stop a daemon, and it may be killed. So the daemons belong to
//! `tink-e2e-services`, which stops them when the pipe to its standard input is closed; the kernel does that for any
//! end of whoever started it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

use crate::{Dockerd, Engine, TestRun, binaries};

/// Names the socket of the engine that tests share; set by `cargo xtask test`.
pub const DOCKER_SOCKET_VARIABLE: &str = "TINK_E2E_DOCKER_SOCKET";

/// Holds the pipe; never dropped, closed by the kernel at the end of this program.
static KEEPER: Mutex<Option<(Child, Engine)>> = Mutex::new(None);

pub(crate) fn shared_engine() -> Result<Engine> {
    if let Some(socket) = std::env::var_os(DOCKER_SOCKET_VARIABLE) {
        return Ok(Engine::at(PathBuf::from(socket)));
    }
    let mut keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, engine)) = &*keeper {
        return Ok(engine.clone());
    }
    let (child, engine) = start_keeper()?;
    *keeper = Some((child, engine.clone()));
    Ok(engine)
}

fn start_keeper() -> Result<(Child, Engine)> {
    let program = binaries::companion_path("tink-e2e-services")?;
    // In a group of its own: Ctrl-C must reach it by the pipe alone, or it would not stop its daemons in order.
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("failed to start tink-e2e-services")?;
    let stdout = child.stdout.take().context("a started process has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).context("failed to read from tink-e2e-services")?;
    let socket = line.trim_end().strip_prefix(DOCKER_SOCKET_VARIABLE).and_then(|rest| rest.strip_prefix('='));
    let socket = socket.context("tink-e2e-services could not start the daemons: its messages are above")?;
    Ok((child, Engine::at(PathBuf::from(socket))))
}

/// What `tink-e2e-services` does without arguments: starts the daemons, prints `NAME=VALUE` lines for the environment of
/// tests, an empty line, and stops everything when standard input ends.
///
/// # Errors
/// When a daemon does not start.
pub fn keep_services() -> Result<()> {
    let run = TestRun::new(&format!("services-{}", std::process::id()))?;
    let dockerd = Dockerd::start(&run).inspect_err(|_| run.print_logs())?;
    println!("{DOCKER_SOCKET_VARIABLE}={}\n", dockerd.socket().display());
    std::io::stdout().flush().context("failed to announce the services")?;
    let mut rest = [0; 256];
    while std::io::stdin().read(&mut rest).context("failed to wait for the end")? > 0 {}
    Ok(())
}
