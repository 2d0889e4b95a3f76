//! Restarts, deletions and crowds.

use tink_proto::v2025::action_status_request::StateType;
use tink_server::{Config, Place, StartError};
use tonic::Code;

use crate::world::{Agent, connect, key, world, world_with};

#[tokio::test]
async fn a_restart_on_the_same_file_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let config = || Config { data: Place::File(directory.path().join("tink.db")), ..Config::embedded() };
    let before = world_with(config()).await;
    before.create("w", &[("m1", &["a", "b"])]).await;
    let a = before.next("m1").await.unwrap();
    before.succeed(&a).await;
    let b = before.next("m1").await.unwrap();
    before.report(&b, StateType::Running).await.unwrap();
    let workflow = before.workflow("w").await;
    let events = before.events("w").await;
    let second = tink_server::start(config()).await;
    assert!(matches!(second, Err(StartError::Store(_))), "two servers never share a file");
    before.running.shutdown().await;

    let after = world_with(config()).await;
    assert_eq!(after.workflow("w").await, workflow);
    assert_eq!(after.events("w").await, events);
    assert_eq!(after.next("m1").await.unwrap(), b, "the same action, by the same ids");
    after.report(&b, StateType::Success).await.unwrap();
    assert_eq!(after.workflow("w").await.state, "SUCCESS");
    let workers = after.workers().list(tink_proto::admin::ListWorkersRequest {}).await.unwrap().into_inner().workers;
    assert_eq!(workers[0].id, "m1");
}

#[tokio::test]
async fn a_worker_whose_workflow_was_deleted_lives_and_goes_on_to_other_work() {
    let world = world().await;
    world.create("w", &[("m1", &["a"])]).await;
    let action = world.next("m1").await.unwrap();
    world.report(&action, StateType::Running).await.unwrap();
    world.admin().delete(key("w")).await.unwrap();
    assert_eq!(world.admin().get(key("w")).await.unwrap_err().code(), Code::NotFound);
    // It may not start the action again …
    assert_eq!(world.report(&action, StateType::Running).await.unwrap_err().code(), Code::NotFound);
    // … but its result is taken: today's agent ends on a refusal.
    world.report(&action, StateType::Success).await.unwrap();
    world.create("next", &[("m1", &["b"])]).await;
    assert_eq!(world.next("m1").await.unwrap().name.as_deref(), Some("b"));
    // Somebody else's changes nothing, and ends no agent either.
    let mut stranger = action.clone();
    stranger.agent_id = Some("m2".into());
    world.report(&stranger, StateType::Success).await.unwrap();
    assert_eq!(world.report(&stranger, StateType::Running).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(world.events("w").await.last().unwrap().kind, "deleted");
}

#[tokio::test]
async fn deleting_a_workflow_wakes_a_worker_that_waits_behind_it() {
    let world = world().await;
    world.create("first", &[("m2", &["a"]), ("m1", &["b"])]).await;
    let (b, ()) = tokio::join!(world.next("m1"), async {
        world.admin().delete(key("first")).await.unwrap();
        world.create("second", &[("m1", &["c"])]).await;
    });
    assert_eq!(b.unwrap().name.as_deref(), Some("c"));
}

#[tokio::test]
async fn what_must_not_start_is_refused_and_what_ended_late_is_taken() {
    let world = world().await;
    world.create("w", &[("m1", &["a", "b"])]).await;
    let a = world.next("m1").await.unwrap();
    let mut b = a.clone();
    b.action_id = Some(world.workflow("w").await.tasks[0].actions[1].id.clone());
    assert_eq!(
        world.report(&b, StateType::Running).await.unwrap_err().code(),
        Code::FailedPrecondition,
        "not its turn"
    );
    world.report(&b, StateType::Success).await.unwrap();
    assert_eq!(world.workflow("w").await.tasks[0].actions[1].state, "PENDING", "acknowledged, and nothing changed");
    let request = tink_proto::admin::CancelWorkflowRequest { key: Some(key("w")), reason: String::new() };
    world.admin().cancel(request).await.unwrap();
    assert_eq!(world.report(&a, StateType::Running).await.unwrap_err().code(), Code::FailedPrecondition, "it ended");
    world.report(&a, StateType::Success).await.unwrap();
    let workflow = world.workflow("w").await;
    assert_eq!((workflow.state.as_str(), workflow.tasks[0].actions[0].state.as_str()), ("CANCELLED", "PENDING"));
    let refused = world.events("w").await.into_iter().filter(|event| event.kind == "refused").count();
    assert_eq!(refused, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_workers_at_once_lose_and_double_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::File(directory.path().join("tink.db"));
    let world = world_with(Config { data: place, ..Config::embedded() }).await;
    let (workers, actions) = (64, ["a", "b", "c"]);
    for nth in 0..workers {
        world.create(&format!("w{nth}"), &[(&format!("m{nth}"), &actions)]).await;
    }
    let mut crowd = tokio::task::JoinSet::new();
    for nth in 0..workers {
        let agent = Agent { channel: connect(&world.running).await };
        crowd.spawn(async move {
            for name in actions {
                let action = agent.next(&format!("m{nth}")).await.unwrap();
                assert_eq!(action.name.as_deref(), Some(name));
                for state in [StateType::Running, StateType::Success, StateType::Success, StateType::Failed] {
                    agent.report(&action, state).await.unwrap();
                }
            }
        });
    }
    crowd.join_all().await;
    for nth in 0..workers {
        let name = format!("w{nth}");
        assert_eq!(world.workflow(&name).await.state, "SUCCESS");
        let events = world.events(&name).await;
        let count = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
        assert_eq!((count("offered"), count("action"), count("refused"), count("workflow")), (3, 6, 3, 2));
    }
}
