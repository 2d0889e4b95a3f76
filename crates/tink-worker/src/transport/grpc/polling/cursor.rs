//! Where a server stands in a workflow, and what that says of one action.

use tink_workflow::ActionState;

use super::{Hold, Polling, Wire, WireContext};
use crate::Report;
use crate::transport::TransportError;

/// Where a server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) index: i64,
    pub(super) state: ActionState,
    task: String,
    action: String,
}

/// What a cursor says of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was not begun, and it is its turn.
    NotBegun,
    /// It runs.
    Running,
    /// It ended so.
    Ended(ActionState),
    /// The workflow is past it.
    Passed,
    /// It is another one's turn.
    NotYet,
}

impl Cursor {
    pub(super) fn of(context: &WireContext) -> Self {
        Self { index: context.index, state: context.state, task: context.task.clone(), action: context.action.clone() }
    }

    /// What this says of the action at `index`.
    pub(super) fn standing(&self, index: i64, task: &str, action: &str) -> Standing {
        // Before anything ran, a PostgreSQL server names no action.
        let begins = self.action.is_empty() && self.index == 0;
        let is_this = self.index == index && (begins || (self.task == task && self.action == action));
        match self.state {
            _ if self.index > index => Standing::Passed,
            // It waits on the action that ended, until the next one is reported.
            ActionState::Success if self.index + 1 == index => Standing::NotBegun,
            _ if !is_this => Standing::NotYet,
            ActionState::Pending => Standing::NotBegun,
            ActionState::Running => Standing::Running,
            ended => Standing::Ended(ended),
        }
    }
}

impl<W: Wire> Polling<W> {
    /// Where the server stands in a workflow now. `None` when it does not say: the workflow ended, or was deleted.
    pub(super) async fn cursor(&self, workflow: &str) -> Result<Option<Cursor>, TransportError> {
        let streamed =
            self.wire.contexts(self.worker.as_str(), Hold::No).await.map_err(|failure| self.error(&failure))?;
        if let Some(context) = streamed.contexts.iter().find(|context| context.workflow == workflow) {
            return Ok(Some(Cursor::of(context)));
        }
        // Servers of 2021 do not stream every workflow, but answer for each.
        let context = self.wire.context(workflow).await.map_err(|failure| self.error(&failure));
        match context {
            Ok(context) => Ok(context.as_ref().map(Cursor::of)),
            // Unknown workflow, or a call that this server does not have.
            Err(error) if error.is_answer() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the server says of the action of a report.
    pub(super) async fn standing(&self, report: &Report, index: i64) -> Result<Option<Standing>, TransportError> {
        let cursor = self.cursor(super::ids::wire(&report.workflow)).await?;
        Ok(cursor.map(|cursor| cursor.standing(index, report.task.as_str(), &report.action_name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(index: i64, state: ActionState, action: &str) -> Cursor {
        let task = if action.is_empty() { "" } else { "t" };
        Cursor { index, state, task: task.to_owned(), action: action.to_owned() }
    }

    #[test]
    fn what_a_cursor_says_of_an_action() {
        use ActionState::{Failed, Pending, Running, Success, Timeout};
        for (at, wanted) in [
            (cursor(0, Pending, ""), Standing::NotYet),
            (cursor(0, Success, "a0"), Standing::NotBegun),
            (cursor(0, Running, "a0"), Standing::NotYet),
            (cursor(1, Pending, "a1"), Standing::NotBegun),
            (cursor(1, Running, "a1"), Standing::Running),
            (cursor(1, Success, "a1"), Standing::Ended(Success)),
            (cursor(1, Failed, "a1"), Standing::Ended(Failed)),
            (cursor(1, Timeout, "a1"), Standing::Ended(Timeout)),
            (cursor(1, Running, "other"), Standing::NotYet),
            (cursor(2, Pending, "a2"), Standing::Passed),
            (cursor(2, Success, "a2"), Standing::Passed),
        ] {
            assert_eq!(at.standing(1, "t", "a1"), wanted, "{at:?}");
        }
        assert_eq!(cursor(0, Pending, "").standing(0, "t", "a0"), Standing::NotBegun);
    }
}
