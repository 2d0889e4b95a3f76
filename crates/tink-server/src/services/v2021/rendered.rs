//! A workflow as the YAML it came from: what its template was rendered to.

use serde_json::{Map, Value, json};
use tink_workflow::{Action, Task, Workflow};

/// The YAML. It is made of the workflow as it is stored: a template that was changed since changes nothing here.
pub fn yaml(workflow: &Workflow) -> String {
    let tasks: Vec<Value> = workflow.tasks.iter().map(task).collect();
    tink_yaml::to_yaml(&json!({
        "version": "0.1",
        "name": workflow.id.name(),
        "global_timeout": workflow.global_timeout_s,
        "tasks": tasks,
    }))
}

fn task(task: &Task) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), json!(task.name));
    map.insert("worker".into(), json!(task.worker.as_str()));
    put(&mut map, "volumes", task.volumes.is_empty(), json!(task.volumes));
    put(&mut map, "environment", task.environment.is_empty(), json!(task.environment));
    map.insert("actions".into(), task.actions.iter().map(action).collect());
    Value::Object(map)
}

fn action(action: &Action) -> Value {
    let spec = &action.spec;
    let mut map = Map::new();
    map.insert("name".into(), json!(spec.name));
    map.insert("image".into(), json!(spec.image));
    map.insert("timeout".into(), json!(spec.timeout_s));
    put(&mut map, "command", spec.command.is_empty(), json!(spec.command));
    put(&mut map, "on-timeout", spec.on_timeout.is_empty(), json!(spec.on_timeout));
    put(&mut map, "on-failure", spec.on_failure.is_empty(), json!(spec.on_failure));
    put(&mut map, "volumes", spec.volumes.is_empty(), json!(spec.volumes));
    put(&mut map, "environment", spec.environment.is_empty(), json!(spec.environment));
    put(&mut map, "pid", spec.pid.is_empty(), json!(spec.pid));
    if let Some(namespaces) = &spec.namespaces {
        map.insert("namespaces".into(), json!({"network": namespaces.network, "pid": namespaces.pid}));
    }
    Value::Object(map)
}

fn put(map: &mut Map<String, Value>, key: &str, empty: bool, value: Value) {
    if !empty {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::workflow;

    #[test]
    fn what_is_shown_is_a_template_again() {
        let mut w = workflow("w", 0, &[("m", 1), ("n", 1)]);
        w.tasks[0].actions[0].spec.on_failure = vec!["f".into()];
        w.tasks[0].environment = [("K".to_owned(), "yes".to_owned())].into();
        let text = yaml(&w);
        let data = tink_template::Data::new();
        let compiled = tink_template::compile(&text, &data, &tink_workflow::Limits::default()).unwrap();
        let task = &compiled.spec.tasks[0];
        assert_eq!((task.worker.as_str(), &task.actions[0]), ("m", &w.tasks[0].actions[0].spec), "{text}");
        assert_eq!(task.environment, w.tasks[0].environment);
        assert_eq!((compiled.spec.tasks.len(), compiled.spec.global_timeout_s), (2, 100));
    }
}
