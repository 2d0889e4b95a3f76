//! A container that is there and, as far as docker says, was never started.
//!
//! That is what a worker finds that was killed between creating and starting; then nothing ran. But it is also what is
//! left when the *daemon* was killed while it started the container: the program runs or ran, and the new daemon does not
//! know. The two are told apart by the daemon's own memory of events, which dies with it.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use bollard::query_parameters::{EventsOptions, RemoveContainerOptions};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};

use super::DockerRuntime;
use super::call::{Failure, SHORT, call};
use super::state::Life;
use crate::{Operation, RuntimeError};

/// How long a start may be under way that nobody waits for any more.
const START_UNDER_WAY_MAX: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// For the daemon to list the events that it remembers.
const EVENTS_MAX: Duration = Duration::from_secs(10);

impl DockerRuntime {
    /// Whether a container was, or may have been, started.
    ///
    /// One that only was created may be about to be: the daemon carries a start out that a worker asked for and did not
    /// live to see, so it is given time for that. After it, a container that surely never ran is removed.
    pub(super) async fn may_have_started(&self, id: &str) -> Result<bool, RuntimeError> {
        let fail = |failure: Failure| failure.into_error(Operation::Recover, id);
        let give_up = Instant::now() + START_UNDER_WAY_MAX;
        loop {
            match self.inspect(id).await.map_err(fail)?.map(|seen| seen.life) {
                None | Some(Life::Removing) => return Ok(false),
                Some(Life::Running | Life::Ended(_)) => return Ok(true),
                Some(Life::Created) if Instant::now() < give_up => tokio::time::sleep(PAUSE).await,
                Some(Life::Created) => break,
            }
        }
        if !self.remembers_creating(id).await {
            tracing::warn!(
                container = id,
                "docker was restarted while it started this container, and does not know whether it ran; it is not \
                 started again"
            );
            return Ok(true);
        }
        // Without force: should it start in this very moment, docker refuses and the next look sees it run.
        let options = RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() };
        match call(SHORT, self.client.remove_container(id, Some(options))).await {
            Ok(()) => Ok(false),
            Err(failure) if failure.has_status(404) => Ok(false),
            Err(failure) if failure.has_status(409) => Ok(true),
            Err(failure) => Err(fail(failure)),
        }
    }

    /// Whether the daemon that runs now created the container: then it also knows that it did not start it. A daemon
    /// that does not answer, or has forgotten for another reason, is taken for one that does not know.
    async fn remembers_creating(&self, id: &str) -> bool {
        let filters = [("container", id), ("event", "create")];
        let options = EventsOptions {
            since: Some("0".to_owned()),
            until: Some((jiff::Timestamp::now().as_second() + 1).to_string()),
            filters: Some(HashMap::from(filters.map(|(key, value)| (key.to_owned(), vec![value.to_owned()])))),
        };
        let mut events = pin!(self.client.events(Some(options)));
        matches!(timeout(EVENTS_MAX, events.next()).await, Ok(Some(Ok(_))))
    }
}
