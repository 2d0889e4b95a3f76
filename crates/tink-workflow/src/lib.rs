//! The domain of tink, pure: what a workflow is, when its text is valid, and how it moves.
//!
//! A *template* is rendered for *hardware* into a [`WorkflowSpec`]: tasks, each bound to one worker, each a list of
//! actions that run as containers. [`Workflow::from_spec`] gives every task and action an id; from then on
//! [`step`] is the only way a workflow changes.
//!
//! This crate does no IO, reads no clock and starts no task: times and ids come in as arguments.

mod human_duration;
mod ids;
mod leaving;
mod limits;
mod machine;
mod reference;
mod spec;
mod status;
mod validate;

pub use human_duration::human_duration;
pub use ids::{ActionId, IdError, TaskId, WorkerId, WorkflowId};
pub use limits::Limits;
pub use machine::{Effect, Event, Next, Refusal, Report, next_action, step};
pub use reference::{ImageRef, ImageRefError};
pub use spec::{ActionSpec, Namespaces, TaskSpec, WorkflowSpec};
pub use status::{Action, ActionState, CurrentAction, Task, Timestamp, Workflow, WorkflowState};
pub use validate::{FieldPath, Invalid, Segment, validate};
