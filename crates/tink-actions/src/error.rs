//! Why an action program did not do what it was asked.

use std::io;

/// Why an action program failed. Every text names the variable, URL or device it is about.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// No such program.
    #[error(
        "there is no action program {found:?}; there are: greet, count, say-goodbye, image2disk, writefile, checkfile, \
         waitdaemon"
    )]
    UnknownProgram {
        /// What was asked for.
        found: String,
    },
    /// A program got an argument it does not understand.
    #[error("{program} does not understand {found:?}; usage: {usage}")]
    Usage {
        /// The program.
        program: &'static str,
        /// The argument.
        found: String,
        /// How it is called.
        usage: &'static str,
    },
    /// A variable that must be set is not.
    #[error("the variable {name} is not set; it says {meaning}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it says.
        meaning: &'static str,
    },
    /// A variable has a value it cannot have.
    #[error("the variable {name} is {found:?}; allowed: {allowed}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Its output could not be written.
    #[error("failed to write output: {0}")]
    Output(#[source] io::Error),
    /// A call on a file, device or file system failed.
    #[error("failed to {doing} {subject}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        subject: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A download failed.
    #[error("failed to download {url}: {reason}")]
    Download {
        /// From where, without user name and password.
        url: String,
        /// Why.
        reason: String,
    },
    /// What was downloaded is not what was promised.
    #[error("{subject} has the checksum {found}, not {wanted}; what was written must not be booted")]
    Checksum {
        /// What was checked.
        subject: String,
        /// The checksum found.
        found: String,
        /// The checksum wanted.
        wanted: String,
    },
    /// The container engine did not do what it was asked.
    #[error("failed to {doing} the engine at /var/run/docker.sock: {reason}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// A file is not as it should be.
    #[error("{path} is not as wanted: {reason}")]
    Differs {
        /// The file.
        path: String,
        /// In what it differs.
        reason: String,
    },
}

impl ActionError {
    /// Whether the command or a variable is wrong, so that another try cannot help.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::UnknownProgram { .. } | Self::Usage { .. } | Self::Missing { .. } | Self::Invalid { .. } => true,
            Self::Output(_)
            | Self::Io { .. }
            | Self::Download { .. }
            | Self::Checksum { .. }
            | Self::Engine { .. }
            | Self::Differs { .. } => false,
        }
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Download { .. } | Self::Checksum { .. } | Self::Engine { .. } => true,
            Self::UnknownProgram { .. }
            | Self::Usage { .. }
            | Self::Missing { .. }
            | Self::Invalid { .. }
            | Self::Output(_)
            | Self::Differs { .. } => false,
        }
    }

    /// For `map_err` of a call on `subject`.
    pub(crate) fn io(doing: &'static str, subject: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let subject = subject.to_string();
        move |source| Self::Io { doing, subject, source }
    }
}
