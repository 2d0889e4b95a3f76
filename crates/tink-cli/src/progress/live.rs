//! A live view: one line an action, the newest output above them.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tink_proto::admin::{Action, Task, Workflow};

use super::News;
use crate::commands::workflow::title;

const TICK: Duration = Duration::from_millis(100);

/// Draws on the terminal.
pub struct Live {
    screen: MultiProgress,
    lines: HashMap<String, Line>,
}

struct Line {
    bar: ProgressBar,
    label: String,
}

impl Live {
    /// Nothing drawn yet.
    pub fn new() -> Self {
        Self { screen: MultiProgress::new(), lines: HashMap::new() }
    }

    /// An action that waits for its turn.
    pub fn pending(&mut self, _workflow: &Workflow, task: &Task, action: &Action) {
        let line = self.line(task, action);
        line.bar.set_message(format!("· {}", line.label));
    }

    /// An action changed its state.
    pub fn action(&mut self, _workflow: &Workflow, task: &Task, action: &Action) {
        let line = self.line(task, action);
        let took = if action.duration.is_empty() { String::new() } else { format!("  {}", action.duration) };
        match action.state.as_str() {
            "RUNNING" => {
                style(&line.bar, "{spinner} {wide_msg} {elapsed}");
                line.bar.reset_elapsed();
                line.bar.set_message(format!("{}  {}", line.label, action.image));
                line.bar.enable_steady_tick(TICK);
            }
            "SUCCESS" => {
                style(&line.bar, STILL);
                line.bar.finish_with_message(format!("✓ {}{took}", line.label));
            }
            "FAILED" | "TIMEOUT" => {
                style(&line.bar, STILL);
                line.bar.finish_with_message(format!("✗ {} {}{took}", line.label, action.state));
                let said = action.message.lines().map(|line| format!("    {}", crate::output::one_line(line)));
                for said in said.collect::<Vec<_>>() {
                    self.print(&said);
                }
            }
            _ => line.bar.set_message(format!("· {}", line.label)),
        }
    }

    /// The workflow changed its state.
    pub fn workflow(&mut self, workflow: &Workflow) {
        let message = crate::output::one_line(&workflow.message);
        let colon = if message.is_empty() { "" } else { ": " };
        self.print(&format!("workflow {} {}{colon}{message}", title(workflow), workflow.state));
    }

    /// What an action does.
    pub fn news(&mut self, news: &News<'_>) {
        match news {
            News::Output { name, line } => {
                self.print(&format!("    {name} | {line}"));
            }
            News::Pull { action_id, done, total, .. } => {
                if let Some(line) = self.lines.get(*action_id) {
                    line.bar.set_message(format!("{}  pulling {}", line.label, share(*done, *total)));
                }
            }
        }
    }

    /// A remark.
    pub fn note(&mut self, text: &str) {
        self.print(text);
    }

    fn print(&self, text: &str) {
        // A terminal that went away does not stop the workflow.
        let _ = self.screen.println(text);
    }

    fn line(&mut self, task: &Task, action: &Action) -> &Line {
        self.lines.entry(action.id.clone()).or_insert_with(|| {
            let bar = self.screen.add(ProgressBar::new_spinner());
            style(&bar, STILL);
            Line { bar, label: format!("{} / {}", task.name, action.name) }
        })
    }
}

/// A line that does not move.
const STILL: &str = "{wide_msg}";

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
    }
}

fn share(done: u64, total: u64) -> String {
    let mib = |bytes: u64| bytes >> 20;
    if total == 0 { format!("{} MiB", mib(done)) } else { format!("{} of {} MiB", mib(done), mib(total)) }
}
