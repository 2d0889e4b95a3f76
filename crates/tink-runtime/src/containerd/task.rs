//! The running side of a container, as containerd sees it.

use std::time::Duration;

use tink_containerd::containerd::v1::types::Status;
use tink_containerd::services::containers::v1::containers_client::ContainersClient;
use tink_containerd::services::containers::v1::{Container, GetContainerRequest};
use tink_containerd::services::tasks::v1::tasks_client::TasksClient;
use tink_containerd::services::tasks::v1::{GetRequest, KillRequest, WaitRequest};
use tink_workflow::Timestamp;
use tonic::Code;

use super::call::{Failure, SHORT, call, or_none};
use super::names::KEPT;
use super::{ContainerdRuntime, oom};
use crate::call::patiently;
use crate::exit_code::cause;
use crate::{ExitCause, ExitStatus};

/// The life of a container, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Its shim says that the program was not started.
    Created,
    /// There is no task, or no shim to ask: it was never started, its start failed, or containerd forgot that it ran.
    Untold,
    /// It runs. Paused counts as that: it has not ended.
    Running,
    /// It ended.
    Ended(ExitStatus),
}

/// A container as the daemon sees it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) container: Container,
    pub(super) life: Life,
}

impl Seen {
    /// Whether it is only kept for a look: then it is gone as far as the worker is concerned.
    pub(super) fn is_kept(&self) -> bool {
        self.container.labels.contains_key(KEPT)
    }
}

impl ContainerdRuntime {
    pub(super) fn containers(&self) -> ContainersClient<tonic::transport::Channel> {
        ContainersClient::new(self.channel.clone())
    }

    pub(super) fn tasks(&self) -> TasksClient<tonic::transport::Channel> {
        TasksClient::new(self.channel.clone())
    }

    /// One look; `None` when there is no such container.
    pub(super) async fn look(&self, id: &str) -> Result<Option<Seen>, Failure> {
        let request = self.request(GetContainerRequest { id: id.to_owned() });
        let found = or_none(call(SHORT, self.containers().get(request)).await)?;
        let Some(container) = found.and_then(|found| found.container) else { return Ok(None) };
        let life = self.life(&container).await?;
        Ok(Some(Seen { container, life }))
    }

    /// A look that is repeated while the daemon is away, for at most a minute.
    pub(super) async fn look_patiently(&self, id: &str) -> Result<Option<Seen>, Failure> {
        patiently(id, Failure::is_unreachable, || self.look(id)).await
    }

    async fn life(&self, container: &Container) -> Result<Life, Failure> {
        let request = self.request(GetRequest { container_id: container.id.clone(), exec_id: String::new() });
        let found = or_none(call(SHORT, self.tasks().get(request)).await)?;
        let Some(process) = found.and_then(|found| found.process) else { return Ok(Life::Untold) };
        Ok(match process.status() {
            Status::Created => Life::Created,
            Status::Unknown => Life::Untold,
            Status::Running | Status::Paused | Status::Pausing => Life::Running,
            Status::Stopped => {
                let code = i32::try_from(process.exit_status).unwrap_or(i32::MAX);
                Life::Ended(ended(container, code, process.exited_at))
            }
        })
    }

    /// Waits for the end of the program, at most so long; whether it has ended.
    pub(super) async fn ended_within(&self, id: &str, limit: Duration) -> Result<bool, Failure> {
        let request = self.request(WaitRequest { container_id: id.to_owned(), exec_id: String::new() });
        let mut tasks = self.tasks();
        match tokio::time::timeout(limit, tasks.wait(request)).await {
            Err(_) => Ok(false),
            Ok(Ok(_)) => Ok(true),
            Ok(Err(status)) if status.code() == Code::NotFound => Ok(true),
            Ok(Err(status)) => Err(status.into()),
        }
    }

    /// Sends a signal to the program, or to everything in the container. Ok when nothing is there to take it.
    pub(super) async fn kill(&self, id: &str, signal: u32, all: bool) -> Result<(), Failure> {
        let kill = KillRequest { container_id: id.to_owned(), exec_id: String::new(), signal, all };
        match call(SHORT, self.tasks().kill(self.request(kill))).await {
            Err(failure) if failure.is(Code::NotFound) || has_ended(&failure) => Ok(()),
            killed => killed.map(drop),
        }
    }
}

/// What shims answer about a process that is not there any more, where they give no better code.
fn has_ended(failure: &Failure) -> bool {
    failure.message.contains("process already finished")
}

fn ended(container: &Container, code: i32, at: Option<prost_types::Timestamp>) -> ExitStatus {
    let cause = cause(code);
    let oom = matches!(cause, ExitCause::Signal(9)) && oom::killed_any(&container.id);
    let started_at = container.created_at.and_then(timestamp);
    let stopped_at = at.and_then(timestamp);
    // The container is made before the program starts, by the same clock.
    let started_at = started_at.map(|start| stopped_at.map_or(start, |stop| start.min(stop)));
    ExitStatus { cause, oom, started_at, stopped_at }
}

/// Go's zero time means "not yet".
fn timestamp(time: prost_types::Timestamp) -> Option<Timestamp> {
    if time.seconds <= 0 { None } else { Timestamp::new(time.seconds, time.nanos).ok() }
}
