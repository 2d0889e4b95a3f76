//! One line for each thing that happens.

use std::io::Write as _;
use std::time::Instant;

use tink_proto::admin::{Action, Task, Workflow};

use super::News;
use super::pull::{Pace, summary};
use crate::commands::workflow::title;

/// Prints lines to stdout.
pub struct Plain {
    pulls: Pace,
}

impl Plain {
    /// Nothing printed yet.
    pub fn new() -> Self {
        Self { pulls: Pace::default() }
    }

    /// An action changed its state.
    pub fn action(&mut self, workflow: &Workflow, task: &Task, action: &Action) {
        let mut text = format!("{}  {:<8} {} / {}", title(workflow), action.state, task.name, action.name);
        if action.state == "RUNNING" {
            text.push_str(&format!("  on {}  image {}", task.worker_id, action.image));
        } else if !action.duration.is_empty() {
            text.push_str(&format!("  in {}", action.duration));
        }
        line(&text);
        if matches!(action.state.as_str(), "FAILED" | "TIMEOUT") {
            for said in action.message.lines() {
                line(&format!("    {}", crate::output::one_line(said)));
            }
        }
    }

    /// The workflow changed its state.
    pub fn workflow(&mut self, workflow: &Workflow) {
        let message = crate::output::one_line(&workflow.message);
        let colon = if message.is_empty() { "" } else { ": " };
        line(&format!("workflow {} {}{colon}{message}", title(workflow), workflow.state));
    }

    /// What an action does.
    pub fn news(&mut self, news: &News<'_>) {
        match news {
            News::Output { name, line: said } => line(&format!("    {name} | {said}")),
            News::Pull { action_id, name, progress } => {
                if self.pulls.is_due(action_id, Instant::now()) {
                    line(&format!("    {name}  pulling {}", summary(progress)));
                }
            }
            News::Started { action_id } => self.pulls.ended(action_id),
        }
    }

    /// A remark.
    pub fn note(&mut self, text: &str) {
        line(text);
    }
}

/// A reader that went away (`| head`) does not stop the workflow.
fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
