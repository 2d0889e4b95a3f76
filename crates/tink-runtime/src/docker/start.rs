//! Creating and starting a container, and what to do when its name is taken.

use bollard::query_parameters::StartContainerOptions;

use super::DockerRuntime;
use super::call::{Failure, FailureKind, LONG, call};
use super::inspect::{Seen, record};
use super::state::Life;
use crate::{ContainerSpec, HandleRecord, Identity, Operation, RuntimeError};

/// A name that is taken again each time it was freed is somebody else's doing.
const NAME_TRIES: u32 = 3;

impl DockerRuntime {
    pub(super) async fn start_container(&self, spec: &ContainerSpec) -> Result<HandleRecord, RuntimeError> {
        let name = spec.identity.container_name();
        for _ in 0..NAME_TRIES {
            match self.create(spec, &name).await {
                Ok(id) => return self.start_created(spec, id, &name).await,
                Err(failure) if failure.has_status(409) => {
                    if let Some(running) = self.settle_clash(&spec.identity, &name).await? {
                        return Ok(running);
                    }
                }
                Err(failure) => return Err(start_error(failure, &name)),
            }
        }
        let reason =
            "another container takes its name each time that was freed; look for a second worker on this machine";
        Err(RuntimeError::transient(Operation::Start, name, reason))
    }

    async fn start_created(&self, spec: &ContainerSpec, id: String, name: &str) -> Result<HandleRecord, RuntimeError> {
        let started = match self.prepare_output(&id).await {
            Ok(()) => call(LONG, self.client.start_container(&id, None::<StartContainerOptions>)).await,
            Err(failure) => Err(failure),
        };
        let Err(failure) = started else { return Ok(record(id, &spec.identity)) };
        if !failure.is_unreachable() {
            // Nobody will ask for it any more. One whose fate is unknown stays: the next try finds it by its name.
            self.attached.lock().await.remove(&id);
            if let Err(failure) = self.remove_by_id(&id).await {
                tracing::warn!(
                    container = name,
                    reason = failure.message,
                    "a container that did not start stays behind"
                );
            }
        }
        Err(start_error(failure, name))
    }

    async fn prepare_output(&self, id: &str) -> Result<(), Failure> {
        match self.inspect(id).await? {
            Some(seen) => self.attach_if_unreadable(&seen).await,
            None => Ok(()),
        }
    }

    /// Answers with the container that has the name if it is this very run and runs (an earlier life of the worker
    /// started it); with `None` when the name is free again.
    async fn settle_clash(&self, identity: &Identity, name: &str) -> Result<Option<HandleRecord>, RuntimeError> {
        let fail = |failure: Failure| failure.into_error(Operation::Start, name);
        let Some(seen) = self.inspect(name).await.map_err(fail)? else { return Ok(None) };
        if seen.life == Life::Running {
            return if is_this_run(&seen, identity) {
                tracing::info!(container = name, id = seen.id, "the action's container is running already, taken up");
                Ok(Some(record(seen.id, identity)))
            } else {
                Err(RuntimeError::permanent(Operation::Start, name, foreign(&seen, name)))
            };
        }
        tracing::info!(container = name, id = seen.id, "removing what is left of an earlier run of the action");
        self.remove_by_id(&seen.id).await.map_err(fail)?;
        Ok(None)
    }
}

/// The worker's id is left out: one that was given another name takes up what it began under the old one.
fn is_this_run(seen: &Seen, identity: &Identity) -> bool {
    let labels = identity.labels();
    let ours =
        labels.iter().filter(|(key, _)| *key != "org.tinkerbell.worker-id" && *key != "org.tinkerbell.action-name");
    ours.clone().all(|(key, value)| seen.labels.get(*key) == Some(value))
}

/// A container with our name: upstream's agent gives the same to its own, without labels.
fn foreign(seen: &Seen, name: &str) -> String {
    let who = match seen.labels.get("org.tinkerbell.workflow-id") {
        Some(workflow) => format!("a container of workflow {workflow}"),
        None => "a container that this worker did not start (an earlier agent's?)".to_owned(),
    };
    format!("{who} has this name and is running; wait for its end, or end it with `docker rm --force {name}`")
}

/// What the daemon answers to a start is about this container and stays so, unless the daemon itself was not ready.
fn start_error(failure: Failure, name: &str) -> RuntimeError {
    const MAY_PASS: [&str; 9] = [
        "connection refused",
        "connection reset",
        "transport is closing",
        "context canceled",
        "context deadline exceeded",
        "timed out",
        "timeout",
        "shutting down",
        "resource temporarily unavailable",
    ];
    let words = failure.message.to_ascii_lowercase();
    let permanent = match failure.kind {
        FailureKind::Status(409 | 429) => false,
        FailureKind::Status(status) if status >= 500 => !MAY_PASS.iter().any(|pattern| words.contains(pattern)),
        FailureKind::Status(_) => true,
        FailureKind::InStream | FailureKind::Unreachable => false,
    };
    if !permanent {
        return failure.into_error(Operation::Start, name);
    }
    let advice = if words.contains("no such image") {
        "; it was removed after the pull"
    } else if ["executable file not found", "exec format error", "permission denied", "no such file or directory"]
        .iter()
        .any(|pattern| words.contains(pattern))
    {
        "; check the action's command and volumes, and the image's entrypoint and platform"
    } else {
        ""
    };
    RuntimeError::permanent(Operation::Start, name, format!("{}{advice}", failure.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(attempt: u32) -> Identity {
        Identity { attempt, ..crate::spec::identity() }
    }

    fn seen(labels: &[(&str, String)]) -> Seen {
        Seen {
            id: "1".to_owned(),
            life: Life::Running,
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            tty: false,
            log_driver: String::new(),
        }
    }

    #[test]
    fn a_run_is_known_by_all_its_labels() {
        assert!(is_this_run(&seen(&identity(1).labels()), &identity(1)));
        assert!(!is_this_run(&seen(&identity(2).labels()), &identity(1)));
        assert!(!is_this_run(&seen(&identity(1).labels()[1..]), &identity(1)));
        assert!(!is_this_run(&seen(&[]), &identity(1)));
    }

    fn start_failure(status: u16, message: &str) -> RuntimeError {
        start_error(Failure { kind: FailureKind::Status(status), message: message.to_owned() }, "c")
    }

    #[test]
    fn a_missing_program_is_permanent_in_dockers_words() {
        let words =
            "failed to create shim task: OCI runtime create failed: exec: \"nope\": executable file not found in $PATH";
        for status in [400, 404, 500] {
            let error = start_failure(status, words);
            assert!(!error.is_retryable());
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_daemon_that_is_not_ready_is_transient() {
        assert!(
            start_failure(500, "connection error: desc = \"transport: dial unix: connect: connection refused\"")
                .is_retryable()
        );
        assert!(start_failure(503, "context deadline exceeded").is_retryable());
        assert!(start_error(Failure::unreachable("x"), "c").is_retryable());
    }
}
