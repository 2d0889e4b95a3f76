//! Output of containers whose log driver cannot be read: attached to, before the container starts where that is known.
//!
//! Limit: nothing is read twice. What a container prints while no worker is attached to it goes to the log driver alone.

use http::Method;

use super::DockerRuntime;
use super::call::Failure;
use super::inspect::{Seen, is_outage};
use super::logs::{End, cannot_be_read};
use super::output::Output;
use super::state::Life;
use crate::lines::Delivery;

/// Drivers that can always be read; no need to ask.
const READABLE_DRIVERS: [&str; 3] = ["json-file", "local", "journald"];

impl DockerRuntime {
    /// Attaches to a container that was created and not started yet, if its log will not be readable.
    pub(super) async fn attach_if_unreadable(&self, seen: &Seen) -> Result<(), Failure> {
        if READABLE_DRIVERS.contains(&seen.log_driver.as_str()) {
            return Ok(());
        }
        match self.open_logs(seen, false, "0").await {
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
            delivery.only_new_from_here();
            let mut output = match first.take() {
                Some(output) => output,
                None => match self.inspect_patiently(container).await? {
                    Some(seen) if seen.life == Life::Running => self.open_attach(&seen).await?,
                    // It ended unheard; the log driver has what it said.
                    _ => return Ok(()),
                },
            };
            match self.pump(container, &mut output, true, delivery).await {
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
}
