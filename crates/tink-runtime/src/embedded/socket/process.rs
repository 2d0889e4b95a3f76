//! Starting the server process, and being it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use tink_oci::Side;

use super::serve::Server;
use super::setup::Setup;
use crate::BLOCKING_THREADS;

/// The process's name for itself (`argv[0]`), by which it knows what it is.
const PROCESS_NAME: &str = "tink-engine";
/// Its own log, in the container's state directory.
const LOG_FILE: &str = "engine.log";
const READY: &str = "ready";
/// Opening the image store and binding the socket takes milliseconds.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// What still runs when the container is over: a container that is being launched.
const END_DEADLINE: Duration = Duration::from_secs(30);
/// All of the environment that it gets: how to reach registries.
const VARIABLES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// A server process that waits for its container to be started: until this is dropped.
pub(in crate::embedded) struct Launching {
    _input: ChildStdin,
}

/// Starts the server process of the container whose state directory is `dir`; the socket is there when this returns.
pub(in crate::embedded) async fn start(dir: &Path, setup: Setup) -> std::io::Result<Launching> {
    let dir = dir.to_owned();
    let started = tokio::task::spawn_blocking(move || start_blocking(&dir, &setup));
    match tokio::time::timeout(READY_DEADLINE, started).await {
        Ok(started) => started.map_err(std::io::Error::other)?,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

fn start_blocking(dir: &Path, setup: &Setup) -> std::io::Result<Launching> {
    let log = File::options().create(true).append(true).mode(0o600).open(dir.join(LOG_FILE))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(PROCESS_NAME).arg(dir).env_clear().current_dir("/");
    command.envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    let mut starter = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
    let streams = starter.stdin.take().zip(starter.stdout.take());
    let (mut input, output) = streams.ok_or(std::io::ErrorKind::BrokenPipe)?;
    let mut line = serde_json::to_vec(setup)?;
    line.push(b'\n');
    input.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(output.take(4096)).read_line(&mut answer)?;
    // It only forks the server and ends; the server is no child of ours.
    starter.wait()?;
    match answer.trim_end() {
        READY => Ok(Launching { _input: input }),
        "" => Err(std::io::Error::other(format!("it ended without an answer; see {}", dir.join(LOG_FILE).display()))),
        reason => Err(std::io::Error::other(reason.to_owned())),
    }
}

/// Runs what this program is started again for by the embedded runtime: the shim of a container, or the server of an
/// engine's socket. The code to end with if this process is one of these, else nothing.
///
/// To be called first thing in `main`, while there is one thread.
#[must_use]
pub fn helper_main_if_asked() -> Option<ExitCode> {
    if let Some(code) = tink_oci::shim_main_if_asked() {
        return Some(code);
    }
    let mut arguments = std::env::args_os();
    if arguments.next().as_deref() != Some(OsStr::new(PROCESS_NAME)) {
        return None;
    }
    Some(match tink_oci::go_to_background() {
        Ok(Side::Starter) => ExitCode::SUCCESS,
        Ok(Side::Background) => serve(),
        Err(error) => {
            say(&format!("failed to go to the background: {error}"));
            ExitCode::FAILURE
        }
    })
}

fn serve() -> ExitCode {
    let mut line = Vec::new();
    let read = std::io::stdin().lock().read_until(b'\n', &mut line);
    let setup: Setup = match read.and_then(|_| Ok(serde_json::from_slice(&line)?)) {
        Ok(setup) => setup,
        Err(error) => {
            say(&format!("failed to read what to serve: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let threads =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(BLOCKING_THREADS).enable_all().build();
    let runtime = match threads {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("failed to start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let server = match Server::open(&setup) {
            Ok(server) => server,
            Err(reason) => return say(&reason),
        };
        say(READY);
        server.run().await;
    });
    runtime.shutdown_timeout(END_DEADLINE);
    ExitCode::SUCCESS
}

/// One line for whoever starts us.
fn say(line: &str) {
    // One that does not listen any more does not wait for us either.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", line.replace('\n', " ")).and_then(|()| out.flush());
}
