//! Where a workflow stands: its cursor.

use tink_workflow::{ActionState, Workflow, WorkflowState};

use super::WireId;

/// State words of the older wires; both generations number them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// 0
    Pending = 0,
    /// 1
    Running = 1,
    /// 2
    Failed = 2,
    /// 3
    Timeout = 3,
    /// 4
    Success = 4,
}

impl State {
    /// The state with a number of the wire.
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Failed, Self::Timeout, Self::Success]
            .into_iter()
            .find(|state| *state as i32 == number)
    }

    /// A workflow's; these wires have no word for CANCELLED.
    pub fn of_workflow(state: WorkflowState) -> Self {
        match state {
            WorkflowState::Pending => Self::Pending,
            WorkflowState::Running => Self::Running,
            WorkflowState::Success => Self::Success,
            WorkflowState::Failed | WorkflowState::Cancelled => Self::Failed,
            WorkflowState::Timeout => Self::Timeout,
        }
    }

    /// An action's.
    pub fn of_action(state: ActionState) -> Self {
        match state {
            ActionState::Pending => Self::Pending,
            ActionState::Running => Self::Running,
            ActionState::Success => Self::Success,
            ActionState::Failed => Self::Failed,
            ActionState::Timeout => Self::Timeout,
        }
    }
}

/// The cursor of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its id, as the generation writes it.
    pub workflow: String,
    /// Worker of the action.
    pub worker: String,
    /// Its task.
    pub task: String,
    /// The action's name.
    pub action: String,
    /// Its place over all tasks.
    pub index: i64,
    /// Its state.
    pub state: State,
    /// How many actions there are.
    pub total: i64,
}

/// The first action that has not succeeded, or the last one; none in a workflow without any.
pub fn of(workflow: &Workflow, ids: WireId) -> Option<Context> {
    let total = workflow.actions().count();
    let (index, (task, action)) = workflow
        .actions()
        .enumerate()
        .find(|(_, (_, action))| action.state != ActionState::Success)
        .or_else(|| workflow.actions().enumerate().last())?;
    let state = match workflow.state {
        // The action may have been stopped by neither.
        ended @ (WorkflowState::Cancelled | WorkflowState::Timeout) => State::of_workflow(ended),
        _ => State::of_action(action.state),
    };
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    Some(Context {
        workflow: ids.text(&workflow.id),
        worker: task.worker.to_string(),
        task: task.name.clone(),
        action: action.spec.name.clone(),
        index: number(index),
        state,
        total: number(total),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::workflow;

    #[test]
    fn the_cursor_is_at_the_first_action_that_has_not_succeeded() {
        let mut w = workflow("w", 0, &[("m", 1), ("n", 2)]);
        let at = |w: &Workflow| {
            let context = of(w, WireId::Slash).unwrap();
            (context.index, context.worker, context.task, context.action, context.state, context.total)
        };
        let expect = |index, worker: &str, task: &str, action: &str, state| {
            (index, worker.to_owned(), task.to_owned(), action.to_owned(), state, 3)
        };
        assert_eq!(at(&w), expect(0, "m", "t0", "a0", State::Pending));
        w.tasks[0].actions[0].state = ActionState::Success;
        w.tasks[1].actions[0].state = ActionState::Running;
        assert_eq!(at(&w), expect(1, "n", "t1", "a0", State::Running));
        w.tasks[1].actions[0].state = ActionState::Success;
        w.tasks[1].actions[1].state = ActionState::Success;
        assert_eq!(at(&w), expect(2, "n", "t1", "a1", State::Success));
        w.state = WorkflowState::Cancelled;
        assert_eq!(at(&w).4, State::Failed);
        assert_eq!(of(&workflow("none", 0, &[]), WireId::Slash), None);
    }

    #[test]
    fn states_keep_their_numbers() {
        for number in 0..5 {
            assert_eq!(State::from_number(number).unwrap() as i32, number);
        }
        assert_eq!((State::from_number(5), State::from_number(-1)), (None, None));
    }
}
