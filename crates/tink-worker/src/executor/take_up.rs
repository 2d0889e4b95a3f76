//! Taking up what an earlier life of the worker left.

use std::sync::Arc;

use tink_mutation::Mutation;
use tink_runtime::{HandleRecord, Purpose, Recovered};
use tink_workflow::ActionState;
use tokio::time::sleep;
use tracing::{info, warn};

use super::container::follow;
use super::message::{self, Tail};
use super::output::Output;
use super::{End, Executor, Outcome, Run};
use crate::events::WorkerEvent;
use crate::journal::{Entry, Phase};
use crate::{Backoff, Report, error_chain};

/// What became of a container of an earlier life.
enum Found {
    Running(HandleRecord),
    Exited(HandleRecord, tink_runtime::ExitStatus),
    Gone(String),
    /// Another engine has it, or had.
    Foreign(String),
}

impl Executor {
    /// Takes up an entry that an earlier life of the worker left without a result.
    pub(crate) async fn take_up(&self, entry: Entry) -> Outcome {
        let Some(attempt) = entry.attempt.clone() else { return Outcome::Gone };
        let mut run = Run::new(self, entry, attempt);
        let assignment = Arc::clone(&run.assignment);
        self.events.emit(&WorkerEvent::AssignmentTaken { assignment: Arc::clone(&assignment), taken_up: true });
        if run.has_ended_the_machine() {
            info!(workflow = %assignment.workflow, action = %assignment.name, "the action ended the machine, as it was to");
            let message = "the machine ended, and the worker is back".to_owned();
            return run.finish(End { state: ActionState::Success, message, stopped_at: None }).await;
        }
        if run.entry.phase() == Phase::Ended {
            info!(workflow = %assignment.workflow, action = %assignment.name, "taking up an action that has ended");
            let tail = run.output().tail().clone();
            return run.conclude_found(tail).await;
        }
        match run.look().await {
            Found::Running(record) => {
                info!(
                    workflow = %assignment.workflow, action = %assignment.name, action_id = %assignment.action,
                    container = record.container, attempt = run.attempt.number, "taking up a running action"
                );
                let end = run.attend(record).await;
                run.finish(end).await
            }
            Found::Exited(record, status) => {
                info!(
                    workflow = %assignment.workflow, action = %assignment.name, action_id = %assignment.action,
                    container = record.container, result = %status, "the action ended while the worker was away"
                );
                let tail = run.rest_of_output(&record).await;
                let (id, journal) = (run.id, &self.journal);
                if let Err(error) = self.persist(id, || journal.exit(id, status.clone())).await {
                    warn!(entry = %id, error = error_chain(&error), "the exit could not be stored");
                }
                run.entry.exit = Some(status);
                run.conclude_found(tail).await
            }
            Found::Gone(_) if tink_mutation::is(Mutation::RunAgainWhenGone) => {
                run.attempt.number += 1;
                let begun = run.begin().await;
                run.settle(begun).await
            }
            // A stop that was begun stands, whatever became of the container.
            Found::Gone(_) if run.entry.stopping.is_some() => {
                let tail = run.output().tail().clone();
                run.conclude_found(tail).await
            }
            // Started, in this boot, and gone without a trace: whatever it did, it is not done a second time.
            Found::Gone(reason) if run.entry.container.is_some() && run.is_of_this_boot() => {
                let tail = run.output().tail().clone();
                let message = format!("the container vanished while the worker was away: {reason}");
                run.finish(End::failed(message::with_output(message, &tail))).await
            }
            Found::Gone(_) if run.entry.leaving && run.is_of_this_boot() => {
                info!(workflow = %assignment.workflow, action = %assignment.name, "going on to end the machine");
                let begun = run.begin().await;
                run.settle(begun).await
            }
            // Whether it was started, another engine knows. It is announced, so to ask for work would make it a success.
            Found::Foreign(reason) if run.entry.leaving && run.is_of_this_boot() => {
                let message =
                    format!("it is not known whether the action was started, and it is not started again: {reason}");
                run.finish(End::failed(message)).await
            }
            Found::Gone(reason) | Found::Foreign(reason) => {
                warn!(
                    workflow = %assignment.workflow, action = %assignment.name, action_id = %assignment.action,
                    attempt = run.attempt.number, reason,
                    "the action's container is gone without a result; it runs again only if the server asks for it"
                );
                Outcome::Gone
            }
        }
    }

    /// Fails an action that was given to another engine than this worker has: it may still run there.
    pub(crate) async fn disown(&self, entry: &Entry) -> Outcome {
        let message = format!(
            "attempt {} was given to the engine {}, this worker now uses {}: whether it ended, and how, is not \
             known, and it is not started a second time",
            entry.attempt_number(),
            entry.runtime().unwrap_or_default(),
            self.runtime.name()
        );
        let report = Report {
            state: tink_workflow::ActionState::Failed,
            started_at: entry.attempt.as_ref().map(|attempt| attempt.began_at),
            stopped_at: Some(self.clock.now()),
            ..Report::running(&entry.assignment, message)
        };
        Outcome::Finished(self.record(entry, report).await, None)
    }
}

impl Run<'_> {
    /// Asks the engine, for as long as it does not answer.
    async fn look(&mut self) -> Found {
        let runtime = Arc::clone(&self.executor.runtime);
        let mut backoff = Backoff::new(self.executor.settings.backoff_max);
        let mut logged = false;
        loop {
            let failure = match self.look_once(runtime.as_ref()).await {
                Ok(found) => return found,
                Err(failure) => failure,
            };
            if !failure.is_retryable() {
                return Found::Foreign(failure.to_string());
            }
            if !std::mem::replace(&mut logged, true) {
                warn!(
                    action = %self.assignment.name, error = %failure,
                    "an action of an earlier life of the worker cannot be looked for; trying again"
                );
            }
            sleep(backoff.pause()).await;
        }
    }

    async fn look_once(&mut self, runtime: &dyn tink_runtime::Runtime) -> Result<Found, tink_runtime::RuntimeError> {
        if let Some(other) = self.entry.other_runtime(runtime.name()) {
            let own = runtime.name();
            return Ok(Found::Foreign(format!("it was given to the engine {other}, this worker uses {own}")));
        }
        let record = match self.entry.container.clone() {
            Some(record) => record,
            None => {
                let identity = self.entry.identity(self.attempt.number, Purpose::Action);
                let Some(record) = runtime.find(&identity).await? else {
                    return Ok(Found::Gone("it was never started, or the machine was rebooted".to_owned()));
                };
                self.know(record.clone()).await;
                record
            }
        };
        Ok(match runtime.recover(&record).await? {
            Recovered::Running => Found::Running(record),
            Recovered::Exited(status) => Found::Exited(record, status),
            Recovered::Gone => Found::Gone("the machine was rebooted, or somebody removed the container".to_owned()),
        })
    }

    fn output(&self) -> Output {
        let log = self.executor.journal.log(&self.entry, self.attempt.number);
        Output::new(Arc::clone(&self.assignment), self.executor.events.clone(), self.redactor.clone(), log)
            .echoing(self.executor.settings.echo_output)
    }

    /// Delivers what an ended container wrote while nobody listened.
    async fn rest_of_output(&self, record: &HandleRecord) -> Tail {
        let mut output = self.output();
        let read = output.read();
        let pause = self.executor.settings.backoff_max;
        self.drain(&read, follow(self.executor.runtime.as_ref(), record, &mut output, pause)).await;
        output.tail().clone()
    }

    /// The result of an exit that was found.
    async fn conclude_found(mut self, tail: Tail) -> Outcome {
        let status = self.entry.exit.clone();
        let mut end = self.end(status.as_ref(), self.entry.stopping.is_some(), &tail);
        end.stopped_at = status.and_then(|status| status.stopped_at);
        self.hook(end.state).await;
        self.finish(end).await
    }
}
