//! Exit codes, fit for scripts, and the failures behind them.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; for `up`, `run` and `workflow watch`: every workflow ended SUCCESS |
//! | 1 | it failed: refused, not found, an error here |
//! | 3 | a workflow ended FAILED |
//! | 4 | a workflow ended TIMEOUT |
//! | 5 | a workflow ended CANCELLED, or was deleted while it was watched |
//! | 64 | the command line or a file is wrong |
//! | 69 | the server cannot be reached |
//! | 130 | interrupted |

use std::fmt::{self, Write as _};
use std::process::ExitCode;

/// Done.
pub const DONE: u8 = 0;
/// It failed.
pub const FAILED: u8 = 1;
/// A workflow ended FAILED.
pub const WORKFLOW_FAILED: u8 = 3;
/// A workflow ended TIMEOUT.
pub const WORKFLOW_TIMEOUT: u8 = 4;
/// A workflow ended CANCELLED or was deleted.
pub const WORKFLOW_CANCELLED: u8 = 5;
/// The command line or a file is wrong.
pub const USAGE: u8 = 64;
/// The server cannot be reached.
pub const UNREACHABLE: u8 = 69;
/// Interrupted from the terminal.
pub const INTERRUPTED: u8 = 130;

/// A code as the process returns it.
pub fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}

/// Prints what clap has to say: help and version are no failure, anything else is a wrong command line.
pub fn usage(error: &clap::Error) -> ExitCode {
    // A closed terminal is no reason to say more.
    let _ = error.print();
    code(if error.use_stderr() { USAGE } else { DONE })
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// The command line or a file is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: USAGE, error: error.into() }
    }

    /// The server cannot be reached.
    pub fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self { code: UNREACHABLE, error: error.into() }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { code: FAILED, error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for cause in self.error.chain() {
            let cause = cause.to_string();
            // Some libraries repeat their source in their own text.
            if text.contains(&cause) {
                continue;
            }
            if !text.is_empty() {
                text.push_str(": ");
            }
            let _ = write!(text, "{cause}");
        }
        f.write_str(text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_every_cause_once() {
        let inner = anyhow::anyhow!("connection refused");
        let failure = Failure::from(inner.context("tcp connect error: connection refused").context("failed to list"));
        assert_eq!(failure.to_string(), "failed to list: tcp connect error: connection refused");
        assert_eq!(Failure::usage(anyhow::anyhow!("x")).code(), USAGE);
    }
}
