//! Making an action's image present.

use std::sync::Arc;
use std::time::Duration;

use tink_runtime::{Progress, PullOutcome, RuntimeError};
use tink_workflow::{ActionState, ImageRef};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{End, Run, until};
use crate::Backoff;
use crate::events::WorkerEvent;

/// A registry that is silent, and whose failure no timeout of the action bounds, is given up after this long.
const PULL_TIME_MAX: Duration = Duration::from_secs(3600);

impl Run<'_> {
    /// Pulls the image; what may go away by itself is repeated until the action's time is used up.
    pub(super) async fn pull(&self) -> Result<ImageRef, End> {
        let text = &self.assignment.image;
        let image = ImageRef::parse(text)
            .map_err(|error| End::failed(format!("image {text:?} is no image reference: {error}")))?;
        let give_up = self.deadline.or_else(|| Instant::now().checked_add(PULL_TIME_MAX));
        let mut tries: u32 = 0;
        let mut last: Option<RuntimeError> = None;
        let mut backoff = Backoff::new(self.executor.settings.backoff_max);
        loop {
            tries += 1;
            let failure = tokio::select! {
                biased;
                result = self.pull_once(&image) => match result {
                    Ok(()) => return Ok(image),
                    Err(failure) => failure,
                },
                () = until(give_up) => return Err(self.pull_ran_out(&image, tries, last.as_ref())),
            };
            if !failure.is_retryable() {
                return Err(End::failed(failure.to_string()));
            }
            let text = self.redactor.mask(failure.to_string());
            // The first failure and then every tenth: an outage of hours must not fill the log.
            if tries % 10 == 1 {
                warn!(
                    workflow = %self.assignment.workflow, action = %self.assignment.name, image = %image, tries,
                    error = text, "the image could not be pulled; the worker tries again"
                );
            }
            self.retrying(&text);
            last = Some(failure);
            tokio::select! {
                biased;
                () = sleep(backoff.pause()) => {}
                () = until(give_up) => return Err(self.pull_ran_out(&image, tries, last.as_ref())),
            }
        }
    }

    async fn pull_once(&self, image: &ImageRef) -> Result<(), RuntimeError> {
        let progress = Progress::new();
        let mut watched = progress.watch();
        let pull = self.executor.runtime.pull(image, &progress);
        tokio::pin!(pull);
        loop {
            tokio::select! {
                biased;
                outcome = &mut pull => {
                    if let PullOutcome::Local(error) = outcome? {
                        info!(
                            action = %self.assignment.name, image = %image, registry_error = %error,
                            "the registry does not serve the image; the one that is here is used"
                        );
                    }
                    return Ok(());
                }
                Ok(()) = watched.changed() => {
                    let progress = watched.borrow_and_update().clone();
                    let assignment = Arc::clone(&self.assignment);
                    self.executor.events.emit(&WorkerEvent::PullProgress { assignment, progress });
                }
            }
        }
    }

    fn pull_ran_out(&self, image: &ImageRef, tries: u32, last: Option<&RuntimeError>) -> End {
        let why = match last {
            Some(error) => format!("last error: {error}"),
            None => "the registry did not finish serving it".to_owned(),
        };
        let limit = self.assignment.timeout_s;
        if limit > 0 {
            let message = format!("timeout of {limit} s used up while pulling image {image}, try {tries}; {why}");
            End { state: ActionState::Timeout, message, stopped_at: None }
        } else {
            End::failed(format!("gave up pulling image {image} after an hour, try {tries}; {why}"))
        }
    }
}
