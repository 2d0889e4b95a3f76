//! Which generation of the wire a server speaks, found out by asking.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tink_workflow::WorkerId;
use tracing::info;

use super::connect::Connection;
use super::polling::is_derived;
use super::v2021::Transport2021;
use super::v2023::Transport2023;
use super::v2025::Transport2025;
use super::{GrpcError, GrpcSettings};
use crate::Report;
use crate::transport::{Ack, Next, Transport, TransportError};

/// What `-protocol` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The newest that the server speaks.
    #[default]
    Auto,
    /// One generation.
    Year(Year),
}

/// A generation of the wire, called by the year it appeared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Year {
    /// tink v0.2 to v0.8.
    Y2021,
    /// tink v0.9 to v0.12.
    Y2023,
    /// tinkerbell/tinkerbell.
    Y2025,
}

impl fmt::Display for Year {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Y2021 => "2021",
            Self::Y2023 => "2023",
            Self::Y2025 => "2025",
        })
    }
}

/// A text that names no protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no protocol; auto, 2025, 2023 and 2021 are")]
pub struct UnknownProtocol(String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        let years = [Year::Y2025, Year::Y2023, Year::Y2021];
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let year = years.into_iter().find(|year| year.to_string() == text);
        year.map(Self::Year).ok_or_else(|| UnknownProtocol(text.to_owned()))
    }
}

/// A server of any generation.
#[derive(Debug)]
pub struct GrpcTransport {
    connection: Connection,
    /// In the order in which they are tried.
    wires: Vec<(Year, Box<dyn Transport>)>,
    chosen: Mutex<Chosen>,
}

/// What was found out, and in which connection.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    at: usize,
    connection: u64,
    /// Whether the server has answered on this wire.
    sure: bool,
}

impl GrpcTransport {
    /// Makes the transport; nothing is connected before the first call.
    ///
    /// The newest wire is tried first, and after a server said UNIMPLEMENTED the one before it; what was found is
    /// kept until a connection is made anew: the server may have been replaced meanwhile. A worker that was given the
    /// URL of a certificate was started for a server of 2021, whose templates mean what they meant then (images below
    /// the registry, workflow data, on-failure), so that wire is tried first.
    ///
    /// # Errors
    /// [`GrpcError`] when the settings cannot be used.
    pub fn new(settings: &GrpcSettings, worker: &WorkerId, protocol: Protocol) -> Result<Self, GrpcError> {
        let connection = Connection::new(settings)?;
        let years = match protocol {
            Protocol::Year(year) => vec![year],
            Protocol::Auto if settings.cert_url.is_some() => vec![Year::Y2021, Year::Y2025, Year::Y2023],
            Protocol::Auto => vec![Year::Y2025, Year::Y2023, Year::Y2021],
        };
        let wires = years.into_iter().map(|year| {
            let wire: Box<dyn Transport> = match year {
                Year::Y2025 => Box::new(Transport2025::over(&connection, settings, worker.clone())),
                Year::Y2023 => Box::new(Transport2023::over(&connection, settings, worker.clone())),
                Year::Y2021 => Box::new(Transport2021::over(&connection, settings, worker.clone())),
            };
            (year, wire)
        });
        let wires = wires.collect();
        let chosen = Mutex::new(Chosen { at: 0, connection: 0, sure: false });
        Ok(Self { connection, wires, chosen })
    }

    fn chosen(&self) -> MutexGuard<'_, Chosen> {
        // The value is replaced whole, so a panic elsewhere cannot leave it half changed.
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to begin: the wire that was found, unless the connection is another one than then.
    fn begin(&self) -> usize {
        let connections = self.connection.count();
        let mut chosen = self.chosen();
        if chosen.connection != connections {
            *chosen = Chosen { at: 0, connection: connections, sure: false };
        }
        chosen.at
    }

    /// The server answered on this wire.
    fn found(&self, at: usize) {
        let connection = self.connection.count();
        let mut chosen = self.chosen();
        let news = !chosen.sure || chosen.at != at;
        *chosen = Chosen { at, connection, sure: true };
        drop(chosen);
        if news
            && self.wires.len() > 1
            && let Some((year, _)) = self.wires.get(at)
        {
            info!(protocol = %year, "the server speaks this protocol");
        }
    }

    /// Wires that can carry a report: ids of actions are today's or derived, never both.
    fn carriers(&self, report: &Report) -> Vec<usize> {
        let derived = is_derived(&report.action);
        let chosen = self.chosen().at;
        let mut carriers: Vec<usize> = (0..self.wires.len())
            .filter(|at| self.wires.get(*at).is_some_and(|(year, _)| (*year == Year::Y2025) != derived))
            .collect();
        carriers.sort_by_key(|at| *at != chosen);
        carriers
    }

    fn no_carrier(&self) -> TransportError {
        TransportError::Answered {
            server: self.connection.target.to_string(),
            code: "Unimplemented".to_owned(),
            message: "the action is of another protocol than the one that is spoken (-protocol)".to_owned(),
        }
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn next(&self) -> Result<Next, TransportError> {
        let begin = self.begin();
        let mut refusal = None;
        for at in (begin..self.wires.len()).chain(0..begin) {
            let Some((_, wire)) = self.wires.get(at) else { continue };
            match wire.next().await {
                Err(error) if error.is_unimplemented() => {
                    refusal.get_or_insert(error);
                }
                Err(error) if !error.is_answer() => return Err(error),
                answer => {
                    self.found(at);
                    return answer;
                }
            }
        }
        // Nothing of what it says is for workers: from the newest on again, next time.
        *self.chosen() = Chosen { at: 0, connection: self.connection.count(), sure: false };
        Err(refusal.unwrap_or(TransportError::Unreachable {
            server: self.connection.target.to_string(),
            reason: "no protocol is left to try".to_owned(),
        }))
    }

    async fn report(&self, report: &Report) -> Result<Ack, TransportError> {
        let mut refusal = None;
        for at in self.carriers(report) {
            let Some((_, wire)) = self.wires.get(at) else { continue };
            match wire.report(report).await {
                Err(error) if error.is_unimplemented() => {
                    refusal.get_or_insert(error);
                }
                answer => return answer,
            }
        }
        Err(refusal.unwrap_or_else(|| self.no_carrier()))
    }

    async fn renew(&self, running: &Report) -> Result<(), TransportError> {
        let mut refusal = None;
        for at in self.carriers(running) {
            let Some((_, wire)) = self.wires.get(at) else { continue };
            match wire.renew(running).await {
                Err(error) if error.is_unimplemented() => {
                    refusal.get_or_insert(error);
                }
                answer => return answer,
            }
        }
        Err(refusal.unwrap_or_else(|| self.no_carrier()))
    }
}

#[cfg(test)]
mod tests;
