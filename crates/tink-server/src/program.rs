//! The program: arguments to exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | stopped because it was asked to (SIGTERM, SIGINT) |
//! | 1 | could not start, or failed while it ran |
//! | 64 | bad configuration |

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::start::{Running, StartError};

/// Exit code of a bad configuration.
const BAD_CONFIGURATION: u8 = 64;

/// Runs the program to its end.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed =
        Config::command().try_get_matches_from(args).and_then(|matches| Ok((Config::from_matches(&matches)?, matches)));
    let (config, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nobody is left to tell when even this cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    if config.print_config {
        print!("{}", Config::print(&matches));
        return match config.check() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => bad(&error),
        };
    }
    if let Err(error) = config.check().and_then(|()| crate::init_logging(&config)) {
        return bad(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> ExitCode {
    // Before anything says that it started: whoever reads that may stop it at once.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    let mut running = match crate::start(config).await {
        Ok(running) => running,
        Err(StartError::Config(error)) => return bad(&error),
        Err(error) => return failed(&error),
    };
    let code = until_stopped(&mut running, signals).await;
    running.shutdown().await;
    code
}

/// The signals that are listened to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Serves until a signal asks to stop; SIGHUP reads the certificate again.
async fn until_stopped(running: &mut Running, mut signals: Signals) -> ExitCode {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return ExitCode::SUCCESS,
            _ = signals.interrupt.recv() => return ExitCode::SUCCESS,
            _ = signals.hangup.recv() => match running.reload_tls() {
                Ok(()) => tracing::info!("certificate read again"),
                Err(error) => tracing::error!(error = %tink_error::chain(&error), "the old certificate stays in use"),
            },
            () = running.failed() => return ExitCode::FAILURE,
        }
    }
}

fn bad(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("tink-server: {}", tink_error::chain(error));
    ExitCode::from(BAD_CONFIGURATION)
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("tink-server: failed to {}", tink_error::chain(error));
    ExitCode::FAILURE
}
