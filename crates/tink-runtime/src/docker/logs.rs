//! Delivering a container's output.

use std::time::Duration;

use http::Method;

use super::DockerRuntime;
use super::call::Failure;
use super::inspect::{Seen, is_outage};
use super::output::Output;
use super::state::Life;
use crate::lines::Delivery;
use crate::{HandleRecord, LogSink, Operation, RuntimeError};

/// After this long without output the container is looked at: a stream that follows was seen not to end with it.
const QUIET: Duration = Duration::from_secs(10);
/// The daemon closes the log before it notes the end of the container.
const END_LAG: Duration = Duration::from_millis(50);
const END_LAG_LOOKS: u32 = 60;
/// Between two streams, when one ended early.
const PAUSE: Duration = Duration::from_millis(200);
/// So many streams in a row that brought nothing new are reported as a failure.
const FRUITLESS_MAX: u32 = 10;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the container, or where a finished log ends.
    Complete,
    /// Before the container.
    Early,
}

impl DockerRuntime {
    /// What was delivered before a stream broke is not delivered again by the next: it is read from the start of the
    /// log, and lines are skipped by count.
    pub(super) async fn deliver_logs(
        &self,
        record: &HandleRecord,
        skip: u64,
        sink: &mut dyn LogSink,
    ) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        let fail = |failure: Failure| failure.into_error(Operation::Logs, container);
        let mut delivery = Delivery::new(sink, skip);
        if let Some(output) = self.attached.lock().await.remove(container) {
            return self.deliver_attached(container, Some(output), &mut delivery).await.map_err(fail);
        }
        let mut fruitless = 0;
        loop {
            let position = delivery.position();
            let failure = match self.deliver_once(container, &mut delivery).await {
                Ok(End::Complete) => return Ok(()),
                Ok(End::Early) => Failure::unreachable("docker ends the output, but the container runs"),
                Err(failure) if cannot_be_read(&failure) => {
                    return self.deliver_attached(container, None, &mut delivery).await.map_err(fail);
                }
                Err(failure) if is_outage(&failure) => failure,
                Err(failure) => return Err(fail(failure)),
            };
            fruitless = if delivery.position() > position { 0 } else { fruitless + 1 };
            if fruitless >= FRUITLESS_MAX {
                return Err(fail(failure));
            }
            tracing::debug!(container, reason = failure.message, "reading the output again from where it broke off");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One pass over the log, from its start to the container's end if that is to be had.
    async fn deliver_once(&self, container: &str, delivery: &mut Delivery<'_>) -> Result<End, Failure> {
        let Some(seen) = self.inspect_patiently(container).await? else {
            return Err(Failure { kind: super::call::FailureKind::Status(404), message: "it is gone".to_owned() });
        };
        delivery.rewind();
        let follow = seen.life == Life::Running;
        let mut output = self.open_logs(&seen, follow, "all").await?;
        let end = self.pump(container, &mut output, follow, delivery).await?;
        if end == End::Complete {
            delivery.finish();
        }
        Ok(end)
    }

    pub(super) async fn open_logs(&self, seen: &Seen, follow: bool, tail: &str) -> Result<Output, Failure> {
        let target = format!(
            "/v{}/containers/{}/logs?stdout=1&stderr=1&follow={}&tail={tail}",
            self.api_version(),
            seen.id,
            u8::from(follow)
        );
        Output::open(&self.socket, Method::GET, &target, seen.tty).await
    }

    /// Hands on what comes until the stream ends.
    pub(super) async fn pump(
        &self,
        container: &str,
        output: &mut Output,
        follow: bool,
        delivery: &mut Delivery<'_>,
    ) -> Result<End, Failure> {
        let mut quiet_since_end = false;
        loop {
            match tokio::time::timeout(QUIET, output.next()).await {
                Ok(Ok(Some((stream, bytes)))) => {
                    delivery.push(stream, &bytes);
                    quiet_since_end = false;
                }
                Ok(Ok(None)) if !follow || self.ends_now(container).await? => return Ok(End::Complete),
                Ok(Ok(None)) => return Ok(End::Early),
                Ok(Err(failure)) => return Err(failure),
                Err(_) if !follow => {
                    return Err(Failure::unreachable("docker stopped sending in the middle of the log"));
                }
                Err(_) => {
                    let runs = self.inspect(container).await?.is_some_and(|seen| seen.life == Life::Running);
                    if !runs && quiet_since_end {
                        return Ok(End::Early);
                    }
                    quiet_since_end = !runs;
                }
            }
        }
    }

    /// Whether the container has ended, or does so within the moment that the daemon takes to notice.
    async fn ends_now(&self, container: &str) -> Result<bool, Failure> {
        for _ in 0..END_LAG_LOOKS {
            if self.inspect(container).await?.is_none_or(|seen| seen.life != Life::Running) {
                return Ok(true);
            }
            tokio::time::sleep(END_LAG).await;
        }
        Ok(false)
    }
}

/// Log drivers that send output away (syslog, gelf, none) cannot be read, unless the daemon keeps a copy (20.10 and later,
/// without `cache-disabled`).
pub(super) fn cannot_be_read(failure: &Failure) -> bool {
    failure.has_status(501) || failure.message.contains("does not support reading")
}
