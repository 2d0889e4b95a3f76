//! What `docker inspect` says, and what it means.

use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use tink_workflow::Timestamp;

use crate::ExitStatus;
use crate::exit_code::cause;

/// The life of a container, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It was never started, or its start failed.
    Created,
    /// It runs. Paused and restarting count as that: it has not ended.
    Running,
    /// It ended.
    Ended(ExitStatus),
    /// Docker is removing it.
    Removing,
}

pub(super) fn life(state: &ContainerState) -> Life {
    match state.status {
        Some(Status::CREATED) => Life::Created,
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING) => Life::Running,
        Some(Status::REMOVING) => Life::Removing,
        Some(Status::EXITED | Status::DEAD) => Life::Ended(exit_status(state)),
        // podman has states of its own ("configured", "initialized"), which the library reads as empty.
        Some(Status::EMPTY) | None if state.running == Some(true) => Life::Running,
        Some(Status::EMPTY) | None if timestamp(state.finished_at.as_deref()).is_some() => {
            Life::Ended(exit_status(state))
        }
        Some(Status::EMPTY) | None => Life::Created,
    }
}

fn exit_status(state: &ContainerState) -> ExitStatus {
    let oom = state.oom_killed.unwrap_or(false);
    let code = i32::try_from(state.exit_code.unwrap_or_default()).unwrap_or(i32::MAX);
    let stopped_at = timestamp(state.finished_at.as_deref());
    // Docker notes the start when it hears of it, which may be after a quick program has ended.
    let started_at =
        timestamp(state.started_at.as_deref()).map(|start| stopped_at.map_or(start, |stop| start.min(stop)));
    ExitStatus { cause: cause(code), oom, started_at, stopped_at }
}

/// Docker writes the year 1 for "not yet".
fn timestamp(text: Option<&str>) -> Option<Timestamp> {
    text.filter(|text| !text.starts_with("0001-")).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitCause;

    fn exited(code: i64, oom: bool) -> ContainerState {
        ContainerState {
            status: Some(Status::EXITED),
            exit_code: Some(code),
            oom_killed: Some(oom),
            started_at: Some("2026-11-23T10:00:00.123456789Z".to_owned()),
            finished_at: Some("2026-11-23T10:00:01Z".to_owned()),
            ..ContainerState::default()
        }
    }

    fn cause_of(code: i64) -> ExitCause {
        match life(&exited(code, false)) {
            Life::Ended(status) => status.cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn small_codes_are_codes() {
        for code in [0, 1, 2, 125, 126, 127, 128, 129, 130, 255] {
            assert_eq!(cause_of(i64::from(code)), ExitCause::Code(code));
        }
    }

    #[test]
    fn the_code_of_a_death_by_signal_is_the_signal() {
        assert_eq!(cause_of(137), ExitCause::Signal(9));
        assert_eq!(cause_of(139), ExitCause::Signal(11));
        assert_eq!(cause_of(143), ExitCause::Signal(15));
    }

    #[test]
    fn times_and_out_of_memory_are_kept() {
        let Life::Ended(status) = life(&exited(137, true)) else { panic!("has ended") };
        assert!(status.oom);
        assert_eq!(status.started_at.unwrap().to_string(), "2026-11-23T10:00:00.123456789Z");
        assert_eq!(status.to_string(), "killed by signal 9 (SIGKILL) (out of memory)");
    }

    #[test]
    fn nothing_ends_before_it_starts() {
        let state = ContainerState { finished_at: Some("2026-11-23T10:00:00Z".to_owned()), ..exited(0, false) };
        let Life::Ended(status) = life(&state) else { panic!("has ended") };
        assert_eq!(status.started_at, status.stopped_at);
    }

    #[test]
    fn a_time_that_is_not_yet_is_none() {
        assert_eq!(timestamp(Some("0001-01-01T00:00:00Z")), None);
        assert_eq!(timestamp(Some("yesterday")), None);
        assert_eq!(timestamp(None), None);
    }

    #[test]
    fn a_paused_container_has_not_ended() {
        let state = ContainerState { status: Some(Status::PAUSED), ..ContainerState::default() };
        assert_eq!(life(&state), Life::Running);
    }

    #[test]
    fn a_state_without_a_name_is_told_by_its_fields() {
        let state = ContainerState { running: Some(true), ..ContainerState::default() };
        assert_eq!(life(&state), Life::Running);
        assert_eq!(life(&ContainerState::default()), Life::Created);
    }
}
