//! Looking at containers: recover, find, and the look that sits out a restart of the daemon.

use std::collections::HashMap;

use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};

use super::call::{Failure, FailureKind, SHORT, call};
use super::state::{Life, life};
use super::{DockerRuntime, NAME};
use crate::call::patiently;
use crate::{HandleRecord, Identity, Operation, Recovered, RuntimeError};

/// A container as the daemon sees it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) life: Life,
    pub(super) labels: HashMap<String, String>,
    pub(super) tty: bool,
    pub(super) log_driver: String,
}

impl DockerRuntime {
    /// One look; `None` when there is no such container.
    pub(super) async fn inspect(&self, container: &str) -> Result<Option<Seen>, Failure> {
        let answer = call(SHORT, self.client.inspect_container(container, None::<InspectContainerOptions>)).await;
        let found = match answer {
            Ok(found) => found,
            Err(failure) if failure.has_status(404) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let Some(state) = &found.state else {
            return Err(Failure::unreachable("docker told no state of the container"));
        };
        let config = found.config.unwrap_or_default();
        Ok(Some(Seen {
            id: found.id.unwrap_or_else(|| container.to_owned()),
            life: life(state),
            labels: config.labels.unwrap_or_default(),
            tty: config.tty.unwrap_or(false),
            log_driver: found.host_config.and_then(|host| host.log_config).and_then(|log| log.typ).unwrap_or_default(),
        }))
    }

    /// A look that is repeated while the daemon is away, for at most a minute.
    pub(super) async fn inspect_patiently(&self, container: &str) -> Result<Option<Seen>, Failure> {
        patiently(container, is_outage, || self.inspect(container)).await
    }

    pub(super) async fn recover_container(&self, record: &HandleRecord) -> Result<Recovered, RuntimeError> {
        let seen = self.inspect(&record.container).await;
        let seen = seen.map_err(|failure| failure.into_error(Operation::Recover, &record.container))?;
        Ok(match seen.map(|seen| seen.life) {
            Some(Life::Running) => Recovered::Running,
            Some(Life::Ended(status)) => Recovered::Exited(status),
            // There is a record only of what was started: docker forgot that it was.
            None | Some(Life::Created | Life::Removing) => Recovered::Gone,
        })
    }

    pub(super) async fn find_container(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        let labels = identity.labels().iter().map(|(key, value)| format!("{key}={value}")).collect();
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), labels)])),
            ..ListContainersOptions::default()
        };
        let found = call(SHORT, self.client.list_containers(Some(options))).await;
        let found = found.map_err(|failure| failure.into_error(Operation::Recover, identity.container_name()))?;
        let Some(id) = found.into_iter().find_map(|summary| summary.id) else { return Ok(None) };
        self.may_have_started(&id).await.map(|started| started.then(|| self::record(id, identity)))
    }
}

/// What is stored of a container.
pub(super) fn record(id: String, identity: &Identity) -> HandleRecord {
    HandleRecord::of(NAME, id, identity)
}

/// Whether the daemon may only be restarting.
pub(super) fn is_outage(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Unreachable => true,
        FailureKind::Status(status) => status >= 500 && status != 501,
        FailureKind::InStream => false,
    }
}
