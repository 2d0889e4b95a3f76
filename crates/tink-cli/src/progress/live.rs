//! A live view: one line an action, another for the layers of a pull, the newest output above them.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tink_proto::admin::{Action, Task, Workflow};
use tink_runtime::PullProgress;

use super::News;
use super::pull::{in_flight, summary};
use crate::commands::workflow::title;

pub(super) const TICK: Duration = Duration::from_millis(100);

/// Draws on the terminal.
pub struct Live {
    screen: MultiProgress,
    lines: HashMap<String, Line>,
}

struct Line {
    bar: ProgressBar,
    label: String,
    image: String,
    /// What a pull has on its way, while there is one.
    layers: Option<ProgressBar>,
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
        self.pull_ended(&action.id);
        let line = self.line(task, action);
        let took = if action.duration.is_empty() { String::new() } else { format!("  {}", action.duration) };
        match action.state.as_str() {
            "RUNNING" => {
                style(&line.bar, "{spinner} {wide_msg} {elapsed}");
                line.bar.reset_elapsed();
                line.bar.set_message(format!("{}  {}", line.label, line.image));
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
            News::Pull { action_id, progress, .. } => self.pull(action_id, progress),
            News::Started { action_id } => {
                self.pull_ended(action_id);
                if let Some(line) = self.lines.get(*action_id) {
                    line.bar.set_message(format!("{}  {}", line.label, line.image));
                }
            }
        }
    }

    fn pull(&mut self, action_id: &str, progress: &PullProgress) {
        let Some(line) = self.lines.get_mut(action_id) else { return };
        line.bar.set_message(format!("{}  pulling {}", line.label, summary(progress)));
        let layers = in_flight(progress);
        if layers.is_empty() {
            return self.pull_ended(action_id);
        }
        let screen = &self.screen;
        let bar = line.layers.get_or_insert_with(|| {
            let bar = screen.insert_after(&line.bar, ProgressBar::new_spinner());
            style(&bar, STILL);
            bar
        });
        bar.set_message(format!("    {layers}"));
    }

    fn pull_ended(&mut self, action_id: &str) {
        if let Some(bar) = self.lines.get_mut(action_id).and_then(|line| line.layers.take()) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
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
            let (label, image) = (format!("{} / {}", task.name, action.name), action.image.clone());
            Line { bar, label, image, layers: None }
        })
    }
}

pub(super) const TICKS: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ";

/// A line that does not move.
const STILL: &str = "{wide_msg}";

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.tick_chars(TICKS));
    }
}
