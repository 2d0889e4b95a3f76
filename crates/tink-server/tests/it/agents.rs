//! What today's agents see.

use std::time::Duration;

use tink_proto::v2025::NO_ACTION_AVAILABLE;
use tink_proto::v2025::action_status_request::StateType;
use tink_server::Config;
use tonic::Code;
use tonic_types::StatusExt;

use crate::world::{world, world_with};

#[tokio::test]
async fn a_workflow_runs_from_create_to_success() {
    let world = world().await;
    world.create("w", &[("m1", &["a", "b"])]).await;
    for name in ["a", "b"] {
        let action = world.next("m1").await.unwrap();
        assert_eq!((action.name.as_deref(), action.workflow_id.as_deref()), (Some(name), Some("default/w")));
        world.succeed(&action).await;
    }
    let workflow = world.workflow("w").await;
    assert_eq!(workflow.state, "SUCCESS");
    assert!(workflow.tasks[0].actions.iter().all(|action| action.message == "said Success"));
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_held_call_is_woken_by_a_create() {
    let world = world().await;
    let (action, ()) = tokio::join!(world.next("m1"), async {
        // Held, as the gauge says.
        while world
            .workers()
            .list(tink_proto::admin::ListWorkersRequest {})
            .await
            .unwrap()
            .into_inner()
            .workers
            .is_empty()
        {}
        world.create("w", &[("m1", &["a"])]).await;
    });
    assert_eq!(action.unwrap().name.as_deref(), Some("a"));
}

#[tokio::test]
async fn an_idle_call_ends_with_the_detail_agents_look_for() {
    let world = world_with(Config { hold: Duration::from_millis(20), ..Config::embedded() }).await;
    let status = world.next("m1").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.get_details_precondition_failure().unwrap().violations[0].r#type, NO_ACTION_AVAILABLE);
}

#[tokio::test]
async fn a_stop_answers_held_calls_at_once() {
    let world = world().await;
    let channel = world.channel.clone();
    let held = tokio::spawn(async move {
        let request = tink_proto::v2025::ActionRequest { agent_id: Some("m1".into()), agent_attributes: None };
        tink_proto::v2025::workflow_service_client::WorkflowServiceClient::new(channel).get_action(request).await
    });
    while world.workers().list(tink_proto::admin::ListWorkersRequest {}).await.unwrap().into_inner().workers.is_empty()
    {
    }
    world.running.shutdown().await;
    assert_eq!(held.await.unwrap().unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_finished_workflow_never_hides_another_and_the_begun_one_comes_first() {
    let world = world().await;
    world.create("old", &[("m1", &["a", "b"])]).await;
    world.create("new", &[("m1", &["c"])]).await;
    let first = world.next("m1").await.unwrap();
    assert_eq!(first.workflow_id.as_deref(), Some("default/old"));
    world.succeed(&first).await;
    let second = world.next("m1").await.unwrap();
    assert_eq!(second.name.as_deref(), Some("b"), "one workflow is finished before the next");
    world.report(&second, StateType::Failed).await.unwrap();
    assert_eq!(world.workflow("old").await.state, "FAILED");
    let third = world.next("m1").await.unwrap();
    assert_eq!(third.workflow_id.as_deref(), Some("default/new"));
}

#[tokio::test]
async fn a_task_is_handed_over_to_the_next_worker_when_it_is_done() {
    let world = world().await;
    world.create("w", &[("m1", &["a"]), ("m2", &["b"]), ("m1", &["c"])]).await;
    let a = world.next("m1").await.unwrap();
    let (b, ()) = tokio::join!(world.next("m2"), world.succeed(&a));
    let b = b.unwrap();
    assert_eq!(b.name.as_deref(), Some("b"));
    let (c, ()) = tokio::join!(world.next("m1"), world.succeed(&b));
    world.succeed(&c.unwrap()).await;
    assert_eq!(world.workflow("w").await.state, "SUCCESS");
}

#[tokio::test]
async fn the_same_action_is_given_out_again_until_it_has_a_result() {
    let world = world().await;
    world.create("w", &[("m1", &["a"])]).await;
    let first = world.next("m1").await.unwrap();
    assert_eq!(world.next("m1").await.unwrap(), first, "the answer may have been lost");
    world.report(&first, StateType::Running).await.unwrap();
    assert_eq!(world.next("m1").await.unwrap(), first, "the worker may have been restarted");
}

#[tokio::test]
async fn a_repeated_report_is_acknowledged_and_a_contradicting_one_changes_nothing() {
    let world = world().await;
    world.create("w", &[("m1", &["a", "b"])]).await;
    let action = world.next("m1").await.unwrap();
    world.succeed(&action).await;
    let before = world.workflow("w").await;
    world.report(&action, StateType::Success).await.unwrap();
    assert_eq!(world.workflow("w").await, before);
    // OK, because today's agents would end on anything else.
    let answer = world.agents().report_action_status(crate::world::status(&action, StateType::Failed)).await.unwrap();
    assert!(answer.metadata().get("tink-refused").unwrap().to_str().unwrap().contains("ended SUCCESS"));
    assert_eq!(world.workflow("w").await, before);
    assert_eq!(world.events("w").await.last().unwrap().kind, "refused");
}

/// GetAction of a worker that names its instance.
async fn next_as(channel: &tonic::transport::Channel, instance: &str) -> Result<String, tonic::Status> {
    let request = tink_proto::v2025::ActionRequest { agent_id: Some("m1".into()), agent_attributes: None };
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert("tink-worker-instance", instance.parse().unwrap());
    let mut client = tink_proto::v2025::workflow_service_client::WorkflowServiceClient::new(channel.clone());
    client.get_action(request).await.map(|answer| answer.into_inner().name.unwrap())
}

#[tokio::test]
async fn a_second_process_with_the_same_id_is_told_who_has_the_action() {
    let world = world_with(Config { hold: Duration::from_millis(20), ..Config::embedded() }).await;
    world.create("w", &[("m1", &["a"])]).await;
    let (first, second) = (world.channel.clone(), crate::world::connect(&world.running).await);
    assert_eq!(next_as(&first, "one").await.unwrap(), "a");
    let status = next_as(&second, "two").await.unwrap_err();
    assert_eq!(status.get_details_precondition_failure().unwrap().violations[0].r#type, NO_ACTION_AVAILABLE);
    assert!(status.metadata().get("tink-held-by").unwrap().to_str().unwrap().starts_with("instance one at 127."));
    let listed = world.workers().list(tink_proto::admin::ListWorkersRequest {}).await.unwrap().into_inner().workers;
    let ids: Vec<_> = listed[0].instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(ids, ["instance one", "instance two"]);
    assert_eq!(next_as(&second, "one").await.unwrap(), "a", "the same process over another connection");
}

#[tokio::test]
async fn an_agent_that_names_no_instance_keeps_its_action_until_its_connection_is_closed() {
    let world = world_with(Config { hold: Duration::from_millis(20), ..Config::embedded() }).await;
    world.create("w", &[("m1", &["a"])]).await;
    let first = crate::world::Agent { channel: crate::world::connect(&world.running).await };
    assert!(first.next("m1").await.is_ok());
    let status = world.next("m1").await.unwrap_err();
    assert!(status.metadata().get("tink-held-by").unwrap().to_str().unwrap().starts_with("connection "));
    drop(first);
    // The end of a connection reaches the server soon, not at once.
    while world.next("m1").await.is_err() {}
}
