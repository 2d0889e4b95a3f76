//! Output of containers whose log driver cannot be read: attached to, before the container starts where that is known.
//!
//! Limit: nothing is read twice. What a container prints while no worker is attached to it goes to the log driver alone.

use std::time::Duration;

use http::Method;

use super::DockerRuntime;
use super::call::Failure;
use super::delivery::Delivery;
use super::inspect::{Seen, is_outage};
use super::logs::cannot_be_read;
use super::output::Output;
use super::state::Life;

/// Drivers that can always be read; no need to ask.
const READABLE_DRIVERS: [&str; 3] = ["json-file", "local", "journald"];

/// After this long without output the container is looked at: a stream that follows was seen not to end with it.
const QUIET: Duration = Duration::from_secs(10);
/// The daemon closes the stream before it notes the end of the container.
const END_LAG: Duration = Duration::from_millis(50);
const END_LAG_LOOKS: u32 = 60;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the container.
    Complete,
    /// Before the container.
    Early,
}

impl DockerRuntime {
    /// Attaches to a container that was created and not started yet, if its log will not be readable.
    pub(super) async fn attach_if_unreadable(&self, seen: &Seen) -> Result<(), Failure> {
        if READABLE_DRIVERS.contains(&seen.log_driver.as_str()) {
            return Ok(());
        }
        match self.open_logs(seen, "0").await {
            Err(failure) if cannot_be_read(&failure) => {}
            Err(failure) if failure.is_unreachable() => return Err(failure),
            Ok(_) | Err(_) => return Ok(()),
        }
        let output = self.open_attach(seen).await?;
        self.attached.lock().await.insert(seen.id.clone(), output);
        Ok(())
    }

    async fn open_attach(&self, seen: &Seen) -> Result<Output, Failure> {
        let version = self.api_version();
        let target = format!("/v{version}/containers/{}/attach?stream=1&stdout=1&stderr=1", seen.id);
        Output::open(&self.socket, Method::POST, &target, seen.tty).await
    }

    /// Delivers what an attached stream brings; attaches again when it breaks while the container runs.
    pub(super) async fn deliver_attached(
        &self,
        container: &str,
        mut first: Option<Output>,
        delivery: &mut Delivery<'_>,
    ) -> Result<(), Failure> {
        loop {
            // The output cannot be read again: whatever comes now is new.
            delivery.finish();
            let mut output = match first.take() {
                Some(output) => output,
                None => match self.inspect_patiently(container).await? {
                    Some(seen) if seen.life == Life::Running => self.open_attach(&seen).await?,
                    // It ended unheard; the log driver has what it said.
                    _ => return Ok(()),
                },
            };
            match self.pump(container, &mut output, delivery).await {
                Ok(End::Complete) => {
                    delivery.finish();
                    return Ok(());
                }
                Ok(End::Early) => {}
                Err(failure) if is_outage(&failure) => {
                    tracing::warn!(
                        container,
                        reason = failure.message,
                        "docker's output broke off; some of it may be missing"
                    );
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Hands on what comes until the stream ends.
    async fn pump(&self, container: &str, output: &mut Output, delivery: &mut Delivery<'_>) -> Result<End, Failure> {
        let mut quiet_since_end = false;
        loop {
            match tokio::time::timeout(QUIET, output.next()).await {
                Ok(Ok(Some((stream, bytes)))) => {
                    delivery.push_unlogged(stream, &bytes);
                    quiet_since_end = false;
                }
                Ok(Ok(None)) if self.ends_now(container).await? => return Ok(End::Complete),
                Ok(Ok(None)) => return Ok(End::Early),
                Ok(Err(failure)) => return Err(failure),
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
