//! What this program is started again for.

use std::process::ExitCode;

use crate::{containerd, embedded};

/// Runs what this program is started again for: the shim of a container of the embedded runtime or the server of an
/// engine's socket, or, by containerd's shim, the logger of a container. The code to end with if this process is one of
/// these, else nothing.
///
/// To be called first thing in `main`, while there is one thread.
#[must_use]
pub fn helper_main_if_asked() -> Option<ExitCode> {
    containerd::logger_main_if_asked().or_else(embedded::helper_main_if_asked)
}
