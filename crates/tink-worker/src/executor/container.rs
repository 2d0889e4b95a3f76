//! From an image to the end of a container.

use std::sync::Arc;
use std::time::Duration;

use tink_mutation::Mutation;
use tink_runtime::{ContainerSpec, ExitStatus, HandleRecord, Identity, Purpose, Recovered, Runtime, RuntimeError};
use tink_workflow::{ActionState, ImageRef};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::warn;

use super::output::{LinesRead, Output};
use super::{End, Run, message, until};
use crate::Backoff;
use crate::error_chain;
use crate::events::WorkerEvent;

/// Beyond the grace, for an engine to carry a stop out before it is asked again.
const STOP_MARGIN: Duration = Duration::from_secs(30);
/// Stops that an engine may leave without effect.
const STOP_TRIES: u32 = 5;

/// However much output still arrives, its rest is waited for no longer than so many silences.
const SILENCES_MAX: u32 = 30;

/// How the wait for a container ended.
#[derive(Debug)]
pub(super) enum Waited {
    /// It ended.
    Exited(ExitStatus),
    /// The engine does not know it any more.
    Gone,
}

impl Run<'_> {
    /// What the engine is to run.
    pub(super) fn spec(&self, image: ImageRef, purpose: Purpose, command: Vec<String>) -> ContainerSpec {
        ContainerSpec {
            identity: self.entry.identity(self.attempt.number, purpose),
            image,
            command,
            environment: self.assignment.environment.clone(),
            volumes: self.assignment.volumes.clone(),
            pid: self.assignment.pid.clone(),
            network: self.assignment.network.clone(),
            tty: self.assignment.tty,
        }
    }

    /// Starts the container once, and finds it again where a call to the engine left that open.
    pub(super) async fn start(&mut self, image: ImageRef) -> Result<HandleRecord, End> {
        let spec = self.spec(image, Purpose::Action, self.assignment.command.clone());
        let record = tokio::select! {
            biased;
            record = self.start_or_find(&spec) => record.map_err(|error| End::failed(error.to_string()))?,
            () = until(self.deadline) => {
                let limit = self.assignment.timeout_s;
                self.stop_late(&spec).await;
                let message = format!("timeout of {limit} s used up before the engine started the container");
                return Err(End { state: ActionState::Timeout, message, stopped_at: None });
            }
        };
        self.know(record.clone()).await;
        self.executor.events.emit(&WorkerEvent::Started {
            assignment: Arc::clone(&self.assignment),
            attempt: self.attempt.number,
            at: self.executor.clock.now(),
        });
        Ok(record)
    }

    /// A start whose answer was lost may have happened, so the engine is asked before each try: a container of this
    /// very run is never started twice.
    pub(super) async fn start_or_find(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        let runtime = &self.executor.runtime;
        let mut backoff = Backoff::new(self.executor.settings.backoff_max);
        let mut logged = false;
        loop {
            let found = match tink_mutation::is(Mutation::StartWithoutLooking) {
                true => Ok(None),
                false => runtime.find(&spec.identity).await,
            };
            let failure = match found {
                Ok(Some(record)) => return Ok(record),
                Ok(None) => {
                    tink_failpoint::hit("worker.start.before");
                    match runtime.start(spec).await {
                        Ok(record) => {
                            tink_failpoint::hit("worker.start.after");
                            return Ok(record);
                        }
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            if !failure.is_retryable() {
                return Err(failure);
            }
            let text = self.redactor.mask(failure.to_string());
            if !std::mem::replace(&mut logged, true) {
                warn!(action = %self.assignment.name, error = text, "the engine cannot start the container; trying again");
            }
            self.retrying(&text);
            sleep(backoff.pause()).await;
        }
    }

    /// Looks for a container, for as long as the engine does not answer.
    pub(super) async fn find(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        let mut backoff = Backoff::new(self.executor.settings.backoff_max);
        loop {
            match self.executor.runtime.find(identity).await {
                Err(failure) if failure.is_retryable() => sleep(backoff.pause()).await,
                answer => return answer,
            }
        }
    }

    /// A start that was under way when the time was used up may have happened. The container is stopped, and stays until
    /// the result is stored: a worker that dies before that must not find the action as one that never started.
    async fn stop_late(&mut self, spec: &ContainerSpec) {
        self.remember_stop().await;
        let limit = self.executor.settings.stop_grace + STOP_MARGIN;
        let stopped = timeout(limit, async {
            if let Some(record) = self.executor.runtime.find(&spec.identity).await? {
                self.know(record.clone()).await;
                self.executor.runtime.stop(&record, self.executor.settings.stop_grace).await?;
            }
            Ok::<_, RuntimeError>(())
        })
        .await;
        match stopped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(action = %self.assignment.name, error = %error, "a late container may be left behind")
            }
            Err(_) => warn!(action = %self.assignment.name, "the engine hangs; a late container may be left behind"),
        }
    }

    /// Puts the container on record.
    pub(super) async fn know(&mut self, record: HandleRecord) {
        let (id, journal) = (self.id, &self.executor.journal);
        if let Err(error) = self.executor.persist(id, || journal.container(id, record.clone())).await {
            // It runs, and it can be found by its identity: the attempt is on disk.
            warn!(
                action = %self.assignment.name, container = record.container,
                error = error_chain(&error), "the container's record cannot be stored"
            );
        }
        self.entry.container = Some(record);
    }

    /// Follows a container to its end: output, timeout, exit on disk, hooks.
    pub(super) async fn attend(&mut self, record: HandleRecord) -> End {
        let log = self.executor.journal.log(&self.entry, self.attempt.number);
        let mut output =
            Output::new(Arc::clone(&self.assignment), self.executor.events.clone(), self.redactor.clone(), log)
                .echoing(self.executor.settings.echo_output);
        let settings = &self.executor.settings;
        let runtime = self.executor.runtime.as_ref();
        let read = output.read();
        let mut timed_out = self.entry.stopping.is_some();
        let waited = {
            let follow = follow(runtime, &record, &mut output, settings.backoff_max);
            let wait = wait(runtime, &record, settings.backoff_max);
            tokio::pin!(follow, wait);
            let mut followed = false;
            let mut waited = None;
            while waited.is_none() && !timed_out {
                tokio::select! {
                    // The output last: where it never pauses, what comes after it in a round is not looked at.
                    biased;
                    end = &mut wait => waited = Some(end),
                    () = until(self.deadline) => timed_out = true,
                    () = &mut follow, if !followed => followed = true,
                }
            }
            if waited.is_none() {
                self.remember_stop().await;
                let stop = self.stop(&record);
                tokio::pin!(stop);
                let mut give_up = None;
                loop {
                    tokio::select! {
                        biased;
                        end = &mut wait => {
                            waited = Some(end);
                            break;
                        }
                        // The wait ends by itself where the stop had an effect.
                        () = &mut stop, if give_up.is_none() => give_up = Some(Instant::now() + STOP_MARGIN),
                        () = until(give_up), if give_up.is_some() => break,
                        () = &mut follow, if !followed => followed = true,
                    }
                }
            }
            if !followed {
                self.drain(&read, &mut follow).await;
            }
            waited
        };
        self.conclude(waited, timed_out, output.tail()).await
    }

    /// Lets the rest of an ended container's output arrive, for as long as something comes: there may be much of it, and the
    /// newest says why an action failed. A stream that falls silent, or never ends, must not hold up a result.
    pub(super) async fn drain(&self, read: &LinesRead, follow: impl Future<Output = ()>) {
        tokio::pin!(follow);
        let silence_max = self.executor.settings.drain_timeout;
        let give_up = Instant::now() + silence_max * SILENCES_MAX;
        loop {
            let before = read.count();
            let look = (Instant::now() + silence_max).min(give_up);
            if timeout_at(look, &mut follow).await.is_ok() {
                return;
            }
            if read.count() == before || look == give_up {
                warn!(
                    workflow = %self.assignment.workflow, action = %self.assignment.name,
                    "the rest of the action's output does not arrive, or does not end"
                );
                return;
            }
        }
    }

    /// After a crash in the middle of a stop, the next life must know that this end was a timeout.
    async fn remember_stop(&self) {
        if self.entry.stopping.is_none()
            && let Err(error) = self.executor.journal.stopping(self.id, "timeout".to_owned()).await
        {
            warn!(entry = %self.id, error = error_chain(&error), "a stop could not be stored");
        }
    }

    /// Stops the container, with some patience for an engine that is away.
    async fn stop(&self, record: &HandleRecord) {
        let grace = self.executor.settings.stop_grace;
        let mut backoff = Backoff::new(self.executor.settings.backoff_max);
        for _ in 0..STOP_TRIES {
            match timeout(grace + STOP_MARGIN, self.executor.runtime.stop(record, grace)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    warn!(action = %self.assignment.name, error = %error, "the container could not be stopped");
                }
                Err(_) => warn!(action = %self.assignment.name, "the engine does not carry the stop out"),
            }
            sleep(backoff.pause()).await;
        }
    }

    /// Puts the end on disk and into words.
    async fn conclude(&mut self, waited: Option<Waited>, timed_out: bool, tail: &message::Tail) -> End {
        let status = match waited {
            Some(Waited::Exited(status)) => Some(status),
            Some(Waited::Gone) if timed_out => None,
            Some(Waited::Gone) => {
                return End::failed(message::with_output(
                    "the container vanished while it ran: somebody removed it, or its engine lost it".to_owned(),
                    tail,
                ));
            }
            None => None,
        };
        if let Some(status) = &status {
            let (id, journal) = (self.id, &self.executor.journal);
            if let Err(error) = self.executor.persist(id, || journal.exit(id, status.clone())).await {
                warn!(entry = %id, error = error_chain(&error), "the exit could not be stored");
            }
            self.entry.exit = Some(status.clone());
        }
        let end = self.end(status.as_ref(), timed_out, tail);
        self.hook(end.state).await;
        end
    }

    /// The result of a container's end.
    pub(super) fn end(&self, status: Option<&ExitStatus>, timed_out: bool, tail: &message::Tail) -> End {
        if timed_out {
            let message = message::timed_out(self.assignment.timeout_s, status, tail);
            return End { state: ActionState::Timeout, message, stopped_at: None };
        }
        match status {
            Some(status) => {
                let state = if status.success() { ActionState::Success } else { ActionState::Failed };
                End { state, message: message::ended(status, tail), stopped_at: None }
            }
            None => {
                End::failed(message::with_output("the engine does not say how the container ended".to_owned(), tail))
            }
        }
    }
}

/// Waits for the end, across restarts of the engine.
pub(super) async fn wait(runtime: &dyn Runtime, record: &HandleRecord, backoff_max: Duration) -> Waited {
    let mut backoff = Backoff::new(backoff_max);
    let mut logged = false;
    loop {
        let failure = match runtime.wait(record).await {
            Ok(status) => return Waited::Exited(status),
            Err(failure) => failure,
        };
        // Either the engine is away for a while, or it does not know the container any more.
        let failure = match runtime.recover(record).await {
            Ok(Recovered::Exited(status)) => return Waited::Exited(status),
            Ok(Recovered::Gone) => return Waited::Gone,
            Ok(Recovered::Running) => failure,
            Err(error) => error,
        };
        if !std::mem::replace(&mut logged, true) {
            warn!(container = record.container, error = %failure, "waiting for the container failed; trying again");
        }
        sleep(backoff.pause()).await;
    }
}

/// Delivers output until the container has ended, across restarts of the engine.
pub(super) async fn follow(runtime: &dyn Runtime, record: &HandleRecord, output: &mut Output, backoff_max: Duration) {
    let mut backoff = Backoff::new(backoff_max);
    loop {
        match runtime.logs(record, output.position(), output).await {
            Ok(()) => return,
            Err(error) if error.is_retryable() => {}
            Err(error) => {
                warn!(container = record.container, error = %error, "the action's output cannot be read");
                return;
            }
        }
        sleep(backoff.pause()).await;
    }
}
