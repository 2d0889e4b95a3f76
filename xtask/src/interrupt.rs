//! Ctrl-C and SIGTERM: handed on to the command that runs, so that the task ends by that command's end and cleans up.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The process group of the running command; 0 when there is none.
static GROUP: AtomicI32 = AtomicI32::new(0);

/// Starts to watch for signals.
pub(crate) fn watch() {
    let mut signals = match Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("xtask: signals cannot be watched, Ctrl-C may leave daemons behind: {error}");
            return;
        }
    };
    std::thread::spawn(move || {
        for _ in signals.forever() {
            // The second one is meant.
            let again = INTERRUPTED.swap(true, Ordering::SeqCst);
            signal_group(if again { Signal::KILL } else { Signal::TERM });
        }
    });
}

/// Whether a signal has come.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Names the process group that signals go to from now on.
pub(crate) fn forward_to(group: Option<u32>) {
    GROUP.store(group.and_then(|group| i32::try_from(group).ok()).unwrap_or(0), Ordering::SeqCst);
    if interrupted() {
        signal_group(Signal::TERM);
    }
}

fn signal_group(signal: Signal) {
    if let Some(group) = Pid::from_raw(GROUP.load(Ordering::SeqCst)) {
        rustix::process::kill_process_group(group, signal).ok();
    }
}
