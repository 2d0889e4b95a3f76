//! One assignment and everything known of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tink_runtime::{ExitStatus, HandleRecord, Identity, Purpose};
use tink_workflow::Timestamp;

use crate::{Assignment, Clock, Report};

/// An entry's number; numbers grow in the order of the assignments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(pub(crate) u64);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One run of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// Counts from 1.
    pub(crate) number: u32,
    /// When the run began, pull included, by the wall clock.
    pub(crate) began_at: Timestamp,
    /// The same moment since boot, in milliseconds.
    pub(crate) uptime_ms: u64,
    /// Which boot that was.
    pub(crate) boot_id: String,
    /// The engine that is asked to start it, by [`Runtime::name`](tink_runtime::Runtime::name). Older journals do not
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<String>,
}

impl Attempt {
    /// A run that begins now.
    pub(crate) fn begin(number: u32, clock: &dyn Clock) -> Self {
        Self {
            number,
            began_at: clock.now(),
            uptime_ms: u64::try_from(clock.uptime().as_millis()).unwrap_or(u64::MAX),
            boot_id: clock.boot_id(),
            runtime: None,
        }
    }

    /// Time since it began; `None` when that was before the last boot.
    pub(crate) fn elapsed(&self, clock: &dyn Clock) -> Option<Duration> {
        if self.boot_id != clock.boot_id() {
            return None;
        }
        clock.uptime().checked_sub(Duration::from_millis(self.uptime_ms))
    }
}

/// A hook that was started, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookRun {
    /// Which of the two.
    pub(crate) purpose: Purpose,
    /// Its container, once it is known.
    pub(crate) record: Option<HandleRecord>,
}

/// ```text
/// Assigned ──attempt.json──► Attempted ──container.json──► Started ──exit.json──► Ended ──result.json──► Finished
///     ▲                          │                            │                                             │
///     └── (server asks again) ── gone ◄───────────────────────┘                              acknowledged ──► Closed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// On disk, nothing was started.
    Assigned,
    /// A container may have been started; its identity is known, its record is not.
    Attempted,
    /// A container was started.
    Started,
    /// The container ended; the result is not yet written.
    Ended,
    /// The result is on disk and not yet acknowledged.
    Finished,
    /// The server has the result, or nobody will ever ask for it.
    Closed,
}

/// Everything the journal knows of an assignment.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) dir_name: String,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) attempt: Option<Attempt>,
    /// The container of the newest attempt, never of an older one.
    pub(crate) container: Option<HandleRecord>,
    /// The server was or is about to be told that the action ends the machine.
    pub(crate) leaving: bool,
    /// The server knows.
    pub(crate) left: bool,
    pub(crate) stopping: Option<String>,
    pub(crate) exit: Option<ExitStatus>,
    pub(crate) hook: Option<HookRun>,
    pub(crate) result: Option<Report>,
    pub(crate) removed: bool,
    pub(crate) closed: Option<String>,
}

impl Entry {
    pub(crate) fn new(id: EntryId, assignment: Assignment) -> Self {
        Self {
            id,
            dir_name: dir_name(id, &assignment),
            assignment: Arc::new(assignment),
            attempt: None,
            container: None,
            leaving: false,
            left: false,
            stopping: None,
            exit: None,
            hook: None,
            result: None,
            removed: false,
            closed: None,
        }
    }

    /// Where it stands.
    pub(crate) fn phase(&self) -> Phase {
        if self.closed.is_some() {
            Phase::Closed
        } else if self.result.is_some() {
            Phase::Finished
        } else if self.exit.is_some() {
            Phase::Ended
        } else if self.container.is_some() {
            Phase::Started
        } else if self.attempt.is_some() {
            Phase::Attempted
        } else {
            Phase::Assigned
        }
    }

    /// Number of the newest run, 0 before the first.
    pub(crate) fn attempt_number(&self) -> u32 {
        self.attempt.as_ref().map_or(0, |attempt| attempt.number)
    }

    /// Number of the run that comes next. A run whose container was never seen is begun again under its own number:
    /// should an engine still carry its start out, both are the same container.
    pub(crate) fn next_attempt(&self) -> u32 {
        match self.phase() {
            Phase::Attempted => self.attempt_number().max(1),
            _ => self.attempt_number() + 1,
        }
    }

    /// The engine that has the container of the newest run, or may have: the start was asked of it.
    pub(crate) fn runtime(&self) -> Option<&str> {
        let asked = self.attempt.as_ref().and_then(|attempt| attempt.runtime.as_deref());
        self.container.as_ref().map(|record| record.runtime.as_str()).or(asked)
    }

    /// That engine, where it is another one than this.
    pub(crate) fn other_runtime(&self, own: &str) -> Option<&str> {
        self.runtime().filter(|name| *name != own)
    }

    /// Whether the engine may hold containers of this entry.
    pub(crate) fn holds_containers(&self) -> bool {
        !self.removed && (self.container.is_some() || self.hook.is_some())
    }

    /// The container identity of a run.
    pub(crate) fn identity(&self, attempt: u32, purpose: Purpose) -> Identity {
        Identity {
            workflow: self.assignment.workflow.clone(),
            action: self.assignment.action.clone(),
            action_name: self.assignment.name.clone(),
            worker: self.assignment.worker.clone(),
            attempt,
            purpose,
        }
    }
}

/// Room that a directory name leaves for the action id.
const ID_CHARS_MAX: usize = 64;

/// `00000007-01JD…`: sorts by number, and names the action as far as a file name can.
fn dir_name(id: EntryId, assignment: &Assignment) -> String {
    let action: String = assignment
        .action
        .as_str()
        .chars()
        .take(ID_CHARS_MAX)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .collect();
    format!("{:08}-{action}", id.0)
}
