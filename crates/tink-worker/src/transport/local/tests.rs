//! The in-process engine.

use tink_workflow::{ActionState, WorkflowState};

use super::*;
use crate::SystemClock;
use crate::doubles::workflow;

fn local(workflows: Vec<Workflow>) -> Local {
    Local::new(workflows, Arc::new(SystemClock))
}

async fn offered(local: &Local) -> Assignment {
    match local.next().await.unwrap() {
        Next::Action(assignment) => *assignment,
        other => panic!("{other:?}"),
    }
}

async fn say(local: &Local, assignment: &Assignment, state: ActionState) -> Ack {
    local.report(&Report { state, ..Report::running(assignment, "said") }).await.unwrap()
}

#[tokio::test]
async fn workflows_run_one_after_another_and_then_it_is_finished() {
    let local = local(vec![workflow("v", &["x", "y"], |_| {}), workflow("w", &["z"], |_| {})]);
    for (action, image) in [("v-a1", "x"), ("v-a2", "y"), ("w-a1", "z")] {
        let assignment = offered(&local).await;
        assert_eq!((assignment.action.as_str(), assignment.image.as_str()), (action, image));
        assert_eq!(offered(&local).await, assignment, "it is offered until it has a result");
        assert_eq!(say(&local, &assignment, ActionState::Running).await, Ack::Accepted);
        assert_eq!(say(&local, &assignment, ActionState::Success).await, Ack::Accepted);
        assert_eq!(say(&local, &assignment, ActionState::Success).await, Ack::Accepted, "twice is no contradiction");
    }
    assert_eq!(local.next().await.unwrap(), Next::Finished);
    assert!(local.workflows().iter().all(|workflow| workflow.state == WorkflowState::Success));
}

#[tokio::test]
async fn a_failure_ends_its_workflow_and_a_contradiction_is_refused() {
    let local = local(vec![workflow("w", &["x", "y"], |_| {})]);
    let assignment = offered(&local).await;
    say(&local, &assignment, ActionState::Running).await;
    assert_eq!(say(&local, &assignment, ActionState::Failed).await, Ack::Accepted);
    assert!(matches!(say(&local, &assignment, ActionState::Success).await, Ack::Refused(_)));
    assert_eq!(local.next().await.unwrap(), Next::Finished);
}

#[tokio::test]
async fn a_cancelled_workflow_offers_nothing_more() {
    let local = local(vec![workflow("w", &["x"], |_| {})]);
    local.cancel("enough");
    assert_eq!(local.next().await.unwrap(), Next::Finished);
    assert_eq!(local.workflows()[0].state, WorkflowState::Cancelled);
}

#[tokio::test]
async fn hooks_environment_and_volumes_reach_the_assignment() {
    let mut flow = workflow("w", &["x"], |spec| {
        spec.on_failure = vec!["f".to_owned()];
        spec.on_timeout = vec!["t".to_owned()];
        spec.environment.insert("A".to_owned(), "2".to_owned());
        spec.volumes = vec!["/b:/b".to_owned()];
    });
    flow.tasks[0].environment.insert("A".to_owned(), "1".to_owned());
    flow.tasks[0].volumes = vec!["/a:/a".to_owned()];
    let assignment = offered(&local(vec![flow])).await;
    assert_eq!((assignment.on_failure, assignment.on_timeout), (vec!["f".to_owned()], vec!["t".to_owned()]));
    assert_eq!(
        (assignment.environment, assignment.volumes),
        (vec!["A=2".to_owned()], vec!["/a:/a".into(), "/b:/b".into()])
    );
}

#[tokio::test]
async fn a_report_of_an_unknown_workflow_is_refused() {
    let local = local(Vec::new());
    let assignment = crate::journal::tests::assignment("default/w", "a1");
    assert!(matches!(say(&local, &assignment, ActionState::Success).await, Ack::Refused(_)));
}
