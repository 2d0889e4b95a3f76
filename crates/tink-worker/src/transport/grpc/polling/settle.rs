//! Reports, on wires where the answer to one says little.

use std::time::Duration;

use tink_workflow::ActionState;
use tokio::time::Instant;
use tonic::Code;
use tracing::{info, warn};

use super::cursor::Standing;
use super::{Polling, STALE_MAX, Wire, WireStatus, ids};
use crate::transport::{Ack, TransportError};
use crate::{Report, human_duration};

/// What upstream's workers say, which people and programs look for.
const STARTED: &str = "Started execution";
const SUCCEEDED: &str = "finished execution successfully";

/// The action of a report was not derived here.
fn foreign() -> Ack {
    Ack::Refused("the action is of another wire".to_owned())
}

/// The server is past the action of a result: it counts as a success there, and nothing else can be said of it any more.
fn passed(report: &Report) -> Ack {
    if report.state == ActionState::Success {
        return Ack::Accepted;
    }
    Ack::Refused("the server took the action for a success and went on".to_owned())
}

impl<W: Wire> Polling<W> {
    /// Says that an action is about to run, unless the server knows: a second RUNNING is taken for the next action's.
    pub(super) async fn running(&self, report: &Report) -> Result<Ack, TransportError> {
        let Some(index) = ids::index(&report.action) else { return Ok(foreign()) };
        let workflow = ids::wire(&report.workflow);
        // Good for one report: after it the server stands elsewhere.
        let remembered = self.memory().offered.remove(base(report));
        let standing = match remembered {
            Some(cursor) => Some(cursor.standing(index, report.task.as_str(), &report.action_name)),
            None => self.standing(report, index).await?,
        };
        if standing != Some(Standing::Running) {
            match self.wire.report(self.status(report)).await {
                Ok(Ack::Accepted) => {}
                Ok(refused) => return Ok(refused),
                Err(failure) if !settles(failure.code()) => return Err(self.error(&failure)),
                Err(failure) => match self.standing(report, index).await? {
                    Some(Standing::Running) => {}
                    // It is still this action's turn: two writes met, or the server fails.
                    Some(Standing::NotBegun) => return Err(self.error(&failure)),
                    _ => return Ok(Ack::Refused(format!("{:?}: {}", failure.code(), failure.message()))),
                },
            }
        }
        self.memory().doubts.remove(report.action.as_str());
        self.data.fetch(&self.wire, workflow).await;
        Ok(Ack::Accepted)
    }

    /// Says how an action ended, unless the server knows or means another run.
    pub(super) async fn result(&self, report: &Report) -> Result<Ack, TransportError> {
        let Some(index) = ids::index(&report.action) else { return Ok(foreign()) };
        match self.standing(report, index).await {
            Ok(Some(Standing::Passed)) => return Ok(passed(report)),
            Ok(Some(Standing::Ended(state))) if state == report.state => return Ok(Ack::Accepted),
            Ok(Some(Standing::NotBegun)) => return self.doubt(report),
            Ok(_) => {}
            Err(error) if error.is_answer() && !error.is_unimplemented() => {}
            Err(error) => return Err(error),
        }
        if report.state == ActionState::Success
            && let Err(failure) = self.data.store(&self.wire, ids::wire(&report.workflow), report).await
        {
            return Err(self.error(&failure));
        }
        let failure = match self.wire.report(self.status(report)).await {
            Ok(ack) => return Ok(ack),
            Err(failure) => failure,
        };
        if !settles(failure.code()) {
            return Err(self.error(&failure));
        }
        let words = format!("{:?}: {}", failure.code(), failure.message());
        match self.standing(report, index).await? {
            Some(Standing::Passed) => Ok(passed(report)),
            Some(Standing::Ended(state)) if state == report.state => Ok(Ack::Accepted),
            // It is still this action's turn: two writes met, or the server fails.
            Some(Standing::Running | Standing::NotBegun) => Err(self.error(&failure)),
            Some(Standing::Ended(_) | Standing::NotYet) => Ok(Ack::Refused(words)),
            None => {
                Ok(Ack::Refused(format!("{words}; the server does not list the workflow: it ended or was deleted")))
            }
        }
    }

    /// The server acknowledged that this action runs, and now says that nobody has begun it: what it shows is old, or the
    /// workflow was deleted and created again under its name, and then this result must not be taken for the new one's.
    fn doubt(&self, report: &Report) -> Result<Ack, TransportError> {
        let since = *self.memory().doubts.entry(report.action.to_string()).or_insert_with(Instant::now);
        if since.elapsed() < STALE_MAX {
            return Err(TransportError::Answered {
                server: self.target.to_string(),
                code: "OutOfDate".to_owned(),
                message: "the server shows the action as not begun".to_owned(),
            });
        }
        self.memory().doubts.remove(report.action.as_str());
        info!(workflow = %report.workflow, action = %report.action_name, "the workflow was created anew under its name");
        Ok(Ack::Refused("the workflow was created anew and nobody has begun this action in it".to_owned()))
    }

    fn status(&self, report: &Report) -> WireStatus {
        let message = match report.state {
            ActionState::Running => STARTED.to_owned(),
            ActionState::Success => SUCCEEDED.to_owned(),
            _ => report.message.chars().take(W::MESSAGE_CHARS_MAX).collect(),
        };
        WireStatus {
            workflow: ids::wire(&report.workflow).to_owned(),
            task: report.task.to_string(),
            action: report.action_name.clone(),
            state: report.state,
            seconds: seconds(report),
            message,
            worker: report.worker.to_string(),
        }
    }
}

/// The id that was offered: that of the first incarnation.
fn base(report: &Report) -> &str {
    report.action.as_str().split('~').next().unwrap_or_default()
}

/// Whether an answer may be the server's last word. What else it says is a failure of its own.
fn settles(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition)
}

/// Whole seconds that the action took. The two times tell them unless the clock was set meanwhile; then the duration
/// does, to its two largest units.
fn seconds(report: &Report) -> i64 {
    if let (Some(started), Some(stopped)) = (report.started_at, report.stopped_at)
        && let Ok(wall) = Duration::try_from(stopped.duration_since(started))
        && human_duration(wall) == report.duration
    {
        return i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
    }
    let mut seconds = 0;
    let mut number: i64 = 0;
    let mut rest = report.duration.as_str();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '0'..='9' => number = number.saturating_mul(10).saturating_add(i64::from(c.to_digit(10).unwrap_or(0))),
            'h' => seconds += std::mem::take(&mut number).saturating_mul(3600),
            'm' if !rest.starts_with('s') => seconds += std::mem::take(&mut number).saturating_mul(60),
            's' => seconds += std::mem::take(&mut number),
            // Less than a second.
            _ => break,
        }
    }
    seconds
}

/// A note for the log where data stays behind.
pub(super) fn data_stays(workflow: &str, reason: &str) {
    warn!(workflow, reason, "the workflow's data is not sent to the server");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tink_workflow::{ActionId, TaskId, WorkerId, WorkflowId};

    fn report(duration: &str, times: Option<(&str, &str)>) -> Report {
        Report {
            workflow: WorkflowId::parse("-/w").unwrap(),
            task: TaskId::parse("t").unwrap(),
            action: ActionId::parse("wf-0123456789abcdef-0").unwrap(),
            action_name: "a".to_owned(),
            worker: WorkerId::parse("w1").unwrap(),
            state: ActionState::Success,
            started_at: times.map(|(start, _)| start.parse().unwrap()),
            stopped_at: times.map(|(_, stop)| stop.parse().unwrap()),
            duration: duration.to_owned(),
            message: String::new(),
            leaving: false,
        }
    }

    #[test]
    fn seconds_are_exact_unless_the_clock_was_set() {
        let times = Some(("2026-01-01T00:00:00Z", "2026-01-01T01:02:03.9Z"));
        assert_eq!(seconds(&report("1h2m", times)), 3723);
        let jumped = Some(("1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"));
        for (text, wanted) in [("1h2m", 3720), ("2m3s", 123), ("1s500ms", 1), ("500ms", 0), ("", 0), ("7s", 7)] {
            assert_eq!(seconds(&report(text, jumped)), wanted, "{text}");
            assert_eq!(seconds(&report(text, None)), wanted, "{text}");
        }
    }
}
