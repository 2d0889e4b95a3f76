//! What a person sees while workflows run: a live view on a terminal, plain lines otherwise.

mod import;
mod live;
mod plain;
mod pull;
mod view;

use std::collections::HashMap;

use tink_proto::admin::Workflow;
use tink_runtime::PullProgress;

use crate::commands::watch::Update;
use crate::commands::workflow::actions as actions_of;

use live::Live;
use plain::Plain;

pub use import::show_import;
pub use view::view;

/// Something about an action that the person in front of it should see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// An image is being pulled.
    Pull {
        /// The action's id.
        action_id: &'a str,
        /// Its name.
        name: &'a str,
        /// How far it is.
        progress: &'a PullProgress,
    },
    /// The image is there and the container runs.
    Started {
        /// The action's id.
        action_id: &'a str,
    },
    /// An action wrote a line.
    Output {
        /// The action's name.
        name: &'a str,
        /// The line, control characters replaced.
        line: &'a str,
    },
}

/// Shows workflows as they change. Status is derived from what it is given; nothing is kept but what was shown.
pub struct Display {
    view: View,
    shown: HashMap<String, String>,
}

enum View {
    Plain(Plain),
    Live(Live),
}

impl Display {
    /// Lines only: for pipes, logs and `--plain`.
    pub fn plain() -> Self {
        Self { view: View::Plain(Plain::new()), shown: HashMap::new() }
    }

    /// A live view where stdout is a terminal, lines otherwise.
    pub fn fitting(plain: bool) -> Self {
        use std::io::IsTerminal as _;
        if plain || !std::io::stdout().is_terminal() {
            return Self::plain();
        }
        Self { view: View::Live(Live::new()), shown: HashMap::new() }
    }

    /// Shows what changed in a workflow since it was shown last.
    pub fn workflow(&mut self, workflow: &Workflow) {
        for (task, action) in actions_of(workflow) {
            let known = self.shown.get(&action.id).map(String::as_str);
            if known == Some(action.state.as_str()) {
                continue;
            }
            if known.is_none() && action.state == "PENDING" {
                if let View::Live(live) = &mut self.view {
                    live.pending(workflow, task, action);
                }
            } else {
                match &mut self.view {
                    View::Plain(plain) => plain.action(workflow, task, action),
                    View::Live(live) => live.action(workflow, task, action),
                }
            }
            self.shown.insert(action.id.clone(), action.state.clone());
        }
        let id = workflow.key.as_ref().map(|key| format!("{}/{}", key.namespace, key.name)).unwrap_or_default();
        if self.shown.get(&id) != Some(&workflow.state) {
            match &mut self.view {
                View::Plain(plain) => plain.workflow(workflow),
                View::Live(live) => live.workflow(workflow),
            }
            self.shown.insert(id, workflow.state.clone());
        }
    }

    /// Shows what a watch tells.
    pub fn update(&mut self, update: &Update) {
        match update {
            Update::Workflow(workflow) => self.workflow(workflow),
            Update::Note(text) => self.note(text),
        }
    }

    /// Shows what an action does.
    pub fn news(&mut self, news: &News<'_>) {
        match &mut self.view {
            View::Plain(plain) => plain.news(news),
            View::Live(live) => live.news(news),
        }
    }

    /// Shows a remark.
    pub fn note(&mut self, text: &str) {
        match &mut self.view {
            View::Plain(plain) => plain.note(text),
            View::Live(live) => live.note(text),
        }
    }
}
