//! A container's life after its start.

use std::path::Path;
use std::time::Duration;

use tink_oci::{Outcome, Status, WaitError};

use super::{EmbeddedRuntime, chain};
use crate::{ExitCause, ExitStatus, HandleRecord, Operation, Recovered, RuntimeError};

/// Short actions are followed by others, which are not to wait for a busy disk.
const SETTLE_AFTER: Duration = Duration::from_secs(5);

const GONE: &str = "it is gone without an exit: the machine was rebooted, or somebody removed it";

impl EmbeddedRuntime {
    pub(super) async fn recover_container(&self, record: &HandleRecord) -> Result<Recovered, RuntimeError> {
        let dir = self.recorded_dir(record, Operation::Recover)?;
        match tink_oci::status(&dir) {
            Ok(Status::Starting | Status::Running(_)) => Ok(Recovered::Running),
            Ok(Status::Exited(exit)) => Ok(Recovered::Exited(exit_status(&exit))),
            Ok(Status::Gone) => {
                end_what_is_left(&dir, record).await;
                Ok(Recovered::Gone)
            }
            Err(error) => Err(RuntimeError::transient(Operation::Recover, &record.container, chain(&error))),
        }
    }

    pub(super) async fn wait_for_end(&self, record: &HandleRecord) -> Result<ExitStatus, RuntimeError> {
        let dir = self.recorded_dir(record, Operation::Wait)?;
        if !dir.exists() {
            return Err(RuntimeError::permanent(Operation::Wait, &record.container, GONE));
        }
        match self.settle_meanwhile(tink_oci::wait(&dir)).await {
            Ok(exit) => {
                warn_of(&exit, record);
                Ok(exit_status(&exit))
            }
            Err(WaitError::Gone { .. }) => {
                end_what_is_left(&dir, record).await;
                Err(RuntimeError::permanent(Operation::Wait, &record.container, GONE))
            }
            Err(error) => Err(RuntimeError::transient(Operation::Wait, &record.container, chain(&error))),
        }
    }

    /// While a container runs, nothing is in a hurry: not every worker is idle before its machine ends.
    async fn settle_meanwhile<T>(&self, end: impl Future<Output = T>) -> T {
        let mut end = std::pin::pin!(end);
        tokio::select! {
            biased;
            ended = &mut end => return ended,
            () = tokio::time::sleep(SETTLE_AFTER) => {}
        }
        let settling = self.settle_images();
        // The end is not held up by a disk that is slow.
        tokio::select! {
            biased;
            ended = &mut end => return ended,
            () = settling => {}
        }
        end.await
    }

    pub(super) async fn stop_container(&self, record: &HandleRecord, grace: Duration) -> Result<(), RuntimeError> {
        let dir = self.recorded_dir(record, Operation::Stop)?;
        let stopped = tink_oci::stop(&dir, grace).await;
        stopped.map_err(|error| RuntimeError::transient(Operation::Stop, &record.container, chain(&error)))
    }

    pub(super) async fn remove_container(&self, record: &HandleRecord) -> Result<(), RuntimeError> {
        let dir = self.recorded_dir(record, Operation::Remove)?;
        let removed = tink_oci::remove(&dir).await;
        removed.map_err(|error| RuntimeError::transient(Operation::Remove, &record.container, chain(&error)))
    }
}

/// The kernel ends a container whose shim was killed, but not a program that became another user, nor processes among the
/// host's: nothing of it may run beside what comes next.
async fn end_what_is_left(dir: &Path, record: &HandleRecord) {
    if let Err(error) = tink_oci::stop(dir, Duration::ZERO).await {
        tracing::warn!(
            container = record.container,
            reason = chain(&error),
            "something of a lost container may run on"
        );
    }
}

/// What its result does not say.
fn warn_of(exit: &tink_oci::ExitStatus, record: &HandleRecord) {
    let container = record.container.as_str();
    if exit.unkillable > 0 {
        tracing::warn!(container, processes = exit.unkillable, "processes do not die");
    }
    let log = &exit.log;
    if log.dropped_lines > 0 {
        // Its log may have no room for a word of it, either.
        let (lines, bytes) = (log.dropped_lines, log.dropped_bytes);
        tracing::warn!(container, lines, bytes, "this much of the output was lost, since the disk was full or failed");
    }
}

fn exit_status(exit: &tink_oci::ExitStatus) -> ExitStatus {
    let cause = match &exit.outcome {
        Outcome::Exited { code } => ExitCause::Code(*code),
        Outcome::Signaled { signal } => ExitCause::Signal(*signal),
        Outcome::NotStarted { failure } => ExitCause::Code(failure.kind.exit_code()),
    };
    ExitStatus { cause, oom: exit.oom, started_at: Some(exit.started_at), stopped_at: Some(exit.finished_at) }
}
