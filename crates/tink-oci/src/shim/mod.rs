//! The shim: our own binary started again as the owner of one container, or to run a program inside one.
//!
//! ```text
//! launcher ──exec──▶ starter ──fork──▶ shim ──fork──▶ the container's program
//!    ▲                 └ends at once     │              builds the container around itself, then exec
//!    └── shim id, record or failure ─────┘
//! ```
//!
//! A launcher with a forker (`crate::forker`) has that fork the shim instead. The starter ends so that the shim is no child
//! of the launcher: nothing changes for it when the launcher ends. Only a single-threaded process may fork and run code; that
//! is why there is a shim at all, and why it uses no async runtime.

mod child;
mod enter;
mod finish;
mod guest;
mod output;
mod owner;
mod pty;
mod supervise;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

pub(crate) use owner::{Ready, own};

/// The shim's name for itself (`argv[0]`), by which it knows that it is one.
pub(crate) const SHIM_NAME: &str = "tink-shim";
/// Asks the shim to start and own the container of a state directory.
pub(crate) const LAUNCH_ARGUMENT: &str = "launch";
/// Asks the shim to run a program in a running container.
pub(crate) const EXEC_ARGUMENT: &str = "exec";

/// Runs the shim if this process was started as one: the code to end with then, else nothing.
///
/// To be called first thing in `main`, while there is one thread.
#[must_use]
pub fn shim_main_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    if args.next().as_deref() != Some(OsStr::new(SHIM_NAME)) {
        return None;
    }
    let (verb, subject) = (args.next()?, args.next()?);
    match verb.to_str()? {
        LAUNCH_ARGUMENT => Some(owner::start(Path::new(&subject))),
        EXEC_ARGUMENT => Some(enter::run(&subject)),
        _ => None,
    }
}
