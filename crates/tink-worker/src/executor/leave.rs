//! Actions that end the machine: announced, acknowledged, and only then started.
//!
//! Whatever comes after the start may never be told, so the server hears before it that the action is a success unless
//! something else is reported. Three cases are left after a restart of the worker, and the journal tells them apart:
//! not acknowledged (announced again), acknowledged and the same boot (started, if it was not), acknowledged and another
//! boot (the machine ended, as it was to: never started again).
//!
//! A worker that asks for work says by it that its machine has ended. So from the announcement on, in every life of this
//! boot, the action is started or reported as failed before work is asked for; no disk that fails may come between.

use std::time::Duration;

use tink_mutation::Mutation;
use tink_workflow::{ActionState, ImageRef};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Begun, End, Run, until};
use crate::journal::JournalError;
use crate::transport::Ack;
use crate::{Backoff, Report, error_chain, human_duration};

impl Run<'_> {
    /// Announces the action and starts it.
    pub(super) async fn leave(&mut self, image: ImageRef) -> Result<Begun, JournalError> {
        let journal = &self.executor.journal;
        if !self.entry.leaving {
            journal.leaving(self.id).await?;
            self.entry.leaving = true;
        }
        let heard = match tink_mutation::is(Mutation::LeaveUnannounced) {
            true => Ok(Ack::Accepted),
            false => self.announce().await,
        };
        match heard {
            Ok(Ack::Accepted) => {}
            Ok(Ack::Refused(reason)) => return Ok(Begun::Refused(reason)),
            Err(end) => return Ok(Begun::Ended(end)),
        }
        if tink_mutation::is(Mutation::AskWhileLeaving) {
            journal.left(self.id).await?;
        }
        match self.executor.persist(self.id, || journal.left(self.id)).await {
            Ok(()) => self.entry.left = true,
            // After the machine's end only the server knows then, and that is enough: it does not ask for it again.
            Err(error) => warn!(
                entry = %self.id, error = error_chain(&error),
                "the acknowledgement cannot be stored; the action is started all the same, since the server counts on it"
            ),
        }
        info!(
            workflow = %self.assignment.workflow, action = %self.assignment.name, action_id = %self.assignment.action,
            "the server knows that the action ends the machine; it starts now"
        );
        Ok(Begun::Ended(self.start_and_attend(image).await))
    }

    /// Tells the server until it has heard; as long as it has not, the machine must not end.
    async fn announce(&self) -> Result<Ack, End> {
        let elapsed = self.attempt.elapsed(self.executor.clock.as_ref()).unwrap_or_default();
        let report = Report {
            state: ActionState::Success,
            leaving: true,
            started_at: Some(self.attempt.began_at),
            stopped_at: Some(self.executor.clock.now()),
            duration: human_duration(elapsed),
            ..Report::running(&self.assignment, "the action ends the machine")
        };
        let mut backoff = Backoff::new(self.executor.settings.backoff_max.min(Duration::from_secs(5)));
        let mut logged = false;
        loop {
            let answer = tokio::select! {
                biased;
                answer = self.executor.reporter.running(report.clone()) => answer,
                () = until(self.deadline) => return Err(self.nobody_heard()),
            };
            let reason = match answer {
                Some(Ok(ack)) => return Ok(ack),
                Some(Err(error)) => error.to_string(),
                None => "the reporter stopped".to_owned(),
            };
            if !std::mem::replace(&mut logged, true) {
                warn!(
                    workflow = %self.assignment.workflow, action = %self.assignment.name, reason,
                    "the server does not know yet that the action ends the machine; it is not started before"
                );
            }
            tokio::select! {
                biased;
                () = sleep(backoff.pause()) => {}
                () = until(self.deadline) => return Err(self.nobody_heard()),
            }
        }
    }

    fn nobody_heard(&self) -> End {
        let limit = self.assignment.timeout_s;
        let message = format!(
            "timeout of {limit} s used up: the server could not be told that the action ends the machine, so it was not \
             started"
        );
        End { state: ActionState::Timeout, message, stopped_at: None }
    }

    /// Whether the machine ended since, as the action was to make it.
    pub(super) fn has_ended_the_machine(&self) -> bool {
        self.entry.left && !self.is_of_this_boot()
    }

    /// Whether the run began since the machine was booted: what it started can only have gone by somebody's doing.
    pub(super) fn is_of_this_boot(&self) -> bool {
        !self.attempt.boot_id.is_empty() && self.attempt.boot_id == self.executor.clock.boot_id()
    }
}
