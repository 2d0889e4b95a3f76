//! A program of the project's own action image, which holds this very binary.

use std::process::ExitCode;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Runs the program that `args` names, in the way of all that runs in containers.
pub fn run(args: &[String]) -> ExitCode {
    end_on_signals();
    let result = tink_actions::run(args, &tink_actions::ProcessEnvironment, &mut std::io::stdout().lock());
    if let Err(error) = &result {
        eprintln!("{error}");
    }
    tink_actions::exit_code(&result)
}

/// Ends the process with 128 + n at the signal n. The first process of a PID namespace, which an action is, gets no signal
/// that it does not handle: it would write to its disk until it is killed.
fn end_on_signals() {
    let mut signals = match Signals::new([SIGHUP, SIGINT, SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("signals cannot be watched, only SIGKILL will end this program: {error}");
            return;
        }
    };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // At once: the program's thread may wait for a disk or a server. What it has mounted goes with its container.
            signal_hook::low_level::exit(128 + signal);
        }
    });
}
