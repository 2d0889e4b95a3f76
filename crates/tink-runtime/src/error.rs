//! What goes wrong between the worker and an engine.

use std::fmt;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reaching the engine.
    Connect,
    /// Pulling an image.
    Pull,
    /// Creating or starting a container.
    Start,
    /// Looking for a container.
    Recover,
    /// Waiting for its end.
    Wait,
    /// Reading its output.
    Logs,
    /// Stopping it.
    Stop,
    /// Removing it.
    Remove,
    /// Giving the engine an image archive.
    Import,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "reach the container engine",
            Self::Pull => "pull image",
            Self::Start => "start container",
            Self::Recover => "look for container",
            Self::Wait => "wait for container",
            Self::Logs => "read the output of container",
            Self::Stop => "stop container",
            Self::Remove => "remove container",
            Self::Import => "import image archive",
        })
    }
}

/// A call to an engine that failed, with what a person needs to act on it.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// May go away by itself: network, an engine that restarts, a registry's 5xx.
    #[error("failed to {operation} {subject}: {reason}")]
    Transient {
        /// What was being done.
        operation: Operation,
        /// With which image, container or socket.
        subject: String,
        /// Why, and what to do next where that is known. Never holds a secret.
        reason: String,
    },
    /// Will not go away by itself: no such image, wrong password, no such program in the image, a bad volume.
    #[error("failed to {operation} {subject}: {reason}")]
    Permanent {
        /// What was being done.
        operation: Operation,
        /// With which image, container or socket.
        subject: String,
        /// Why, and what to do next where that is known. Never holds a secret.
        reason: String,
    },
}

impl RuntimeError {
    pub(crate) fn transient(operation: Operation, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Transient { operation, subject: subject.into(), reason: reason.into() }
    }

    pub(crate) fn permanent(operation: Operation, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Permanent { operation, subject: subject.into(), reason: reason.into() }
    }

    /// Why, without what was being done.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Transient { reason, .. } | Self::Permanent { reason, .. } => reason,
        }
    }

    /// Whether trying again can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transient { .. } => true,
            Self::Permanent { .. } => false,
        }
    }
}
