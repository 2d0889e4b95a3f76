//! Where assignments come from and reports go to: the [`Transport`] trait and one module per wire.

pub mod grpc;
pub mod local;

use std::fmt;

use async_trait::async_trait;

use crate::{Assignment, Report};

/// A way to a server.
///
/// Both calls may be under way at the same time: a `next` that the server holds does not hold up a `report`. Each has
/// a deadline of its own; the caller repeats what failed. Dropping a future gives the call up.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Asks for work. The server may hold the answer until it has some.
    async fn next(&self) -> Result<Next, TransportError>;

    /// Says what became of an action. The same report may be sent any number of times.
    async fn report(&self, report: &Report) -> Result<Ack, TransportError>;

    /// Says that the action of `running`, a report of RUNNING that was acknowledged, still runs, to a server that leases it
    /// to this process. The report itself says it, where it may be repeated.
    async fn renew(&self, running: &Report) -> Result<(), TransportError> {
        self.report(running).await.map(drop)
    }
}

/// The answer to a worker that asks for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this.
    Action(Box<Assignment>),
    /// Nothing to do now.
    Nothing,
    /// Nothing to do any more: the transport has an end and this is it.
    Finished,
}

/// The answer to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The server has it.
    Accepted,
    /// The server will never take it: it does not know the workflow or the action, or contradicts. Why, in its words.
    Refused(String),
}

/// A call that failed and may be repeated; a refusal is no error but [`Ack::Refused`].
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No answer: the server, the network or the name service is not there.
    #[error("failed to reach {server}: {reason}")]
    Unreachable {
        /// Where to.
        server: String,
        /// Why, and what to do next where that is known.
        reason: String,
    },
    /// The server answered that it cannot, with this code.
    #[error("server {server} answered {code}: {message}")]
    Answered {
        /// Where to.
        server: String,
        /// The status code's name.
        code: String,
        /// The server's words.
        message: String,
    },
    /// The server's answer makes no sense.
    #[error("server {server} sent an assignment that cannot be used: {reason}")]
    Garbage {
        /// Where to.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl TransportError {
    /// Whether the server says that it has no such call.
    #[must_use]
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Answered { code, .. } if code == "Unimplemented")
    }

    /// Whether the server was there and answered.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Unreachable { .. } => false,
            Self::Answered { .. } | Self::Garbage { .. } => true,
        }
    }
}
