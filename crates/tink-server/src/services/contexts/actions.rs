//! All actions of a workflow in one list.

use tink_workflow::{Task, Workflow};

use super::Spellings;

/// What becomes of a volume that the task and its action both name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// The task's, then the action's: tink v0.9 to v0.12.
    Appended,
    /// Of two with the same source the action's: tink v0.2 to v0.8.
    BySource,
}

/// An action of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its task.
    pub task: String,
    /// Its name.
    pub name: String,
    /// As written; the worker puts its registry before it.
    pub image: String,
    /// Seconds; 0 is an hour for the workers of these generations.
    pub timeout: i64,
    /// Arguments.
    pub command: Vec<String>,
    /// Arguments of the container after a timeout.
    pub on_timeout: Vec<String>,
    /// Arguments of the container after a failure.
    pub on_failure: Vec<String>,
    /// The worker, as it names itself.
    pub worker: String,
    /// `source:target[:options]`.
    pub volumes: Vec<String>,
    /// `KEY=value`, sorted.
    pub environment: Vec<String>,
    /// The PID namespace.
    pub pid: String,
}

pub fn of(workflow: &Workflow, volumes: Volumes, spellings: &Spellings) -> Vec<Action> {
    workflow
        .actions()
        .map(|(task, action)| Action {
            task: task.name.clone(),
            name: action.spec.name.clone(),
            image: action.spec.image.clone(),
            timeout: i64::try_from(action.spec.timeout_s).unwrap_or(i64::MAX),
            command: action.spec.command.clone(),
            on_timeout: action.spec.on_timeout.clone(),
            on_failure: action.spec.on_failure.clone(),
            worker: spellings.of(&workflow.id, &task.worker),
            volumes: volumes_of(task, action, volumes),
            environment: task.environment_of(action),
            pid: action.pid().to_owned(),
        })
        .collect()
}

fn volumes_of(task: &Task, action: &tink_workflow::Action, rule: Volumes) -> Vec<String> {
    let all = task.volumes_of(action);
    match rule {
        Volumes::Appended => all,
        Volumes::BySource => {
            let source = |volume: &str| volume.split(':').next().unwrap_or_default().to_owned();
            let overlaid = |volume: &String| action.spec.volumes.iter().any(|own| source(own) == source(volume));
            let kept = task.volumes.iter().filter(|volume| !overlaid(volume));
            kept.chain(&action.spec.volumes).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{id, worker, workflow};

    #[test]
    fn a_list_holds_what_the_template_said_for_the_worker_as_it_names_itself() {
        let mut w = workflow("w", 0, &[("aa:bb:cc:00:00:01", 1)]);
        let task = &mut w.tasks[0];
        task.volumes = vec!["/dev:/dev".into(), "/a:/a".into()];
        task.environment = [("A".to_owned(), "task".to_owned()), ("B".to_owned(), "task".to_owned())].into();
        let spec = &mut task.actions[0].spec;
        spec.volumes = vec!["/dev:/dev:ro".into(), "x".into()];
        spec.environment = [("B".to_owned(), "own".to_owned())].into();
        spec.on_timeout = vec!["t".into()];
        spec.on_failure = vec!["f".into()];
        spec.pid = "host".into();
        spec.timeout_s = 7;
        let spellings = Spellings::default();
        spellings.note(&id("w"), &worker("aa:bb:cc:00:00:01"), &worker("AA:BB:CC:00:00:01"));
        let list = of(&w, Volumes::BySource, &spellings);
        assert_eq!(list[0].volumes, ["/a:/a", "/dev:/dev:ro", "x"]);
        assert_eq!(list[0].environment, ["A=task", "B=own"]);
        assert_eq!((list[0].worker.as_str(), list[0].timeout, list[0].pid.as_str()), ("AA:BB:CC:00:00:01", 7, "host"));
        assert_eq!((&list[0].on_timeout, &list[0].on_failure), (&vec!["t".to_owned()], &vec!["f".to_owned()]));
        let appended = of(&w, Volumes::Appended, &Spellings::default());
        assert_eq!(appended[0].volumes, ["/dev:/dev", "/a:/a", "/dev:/dev:ro", "x"]);
        assert_eq!(appended[0].worker, "aa:bb:cc:00:00:01");
    }
}
