//! Watches.

use tink_proto::admin::{WatchRequest, WatchResponse};
use tink_proto::v2025::action_status_request::StateType;
use tink_server::Config;
use tonic::{Code, Status, Streaming};

use crate::world::{PATIENCE, World, key, world, world_with};

async fn watch(world: &World, name: &str, after: i64) -> Result<Streaming<WatchResponse>, Status> {
    let key = (!name.is_empty()).then(|| key(name));
    let request = WatchRequest { key, after_sequence: after };
    world.admin().watch(request).await.map(tonic::Response::into_inner)
}

async fn next(stream: &mut Streaming<WatchResponse>) -> WatchResponse {
    tokio::time::timeout(PATIENCE, stream.message()).await.expect("nothing came").unwrap().expect("ended")
}

/// `kind state` of the event, or `snapshot`.
fn told(response: &WatchResponse) -> String {
    match &response.event {
        None => "snapshot".to_owned(),
        Some(event) => format!("{} {}", event.kind, event.state).trim_end().to_owned(),
    }
}

#[tokio::test]
async fn a_watch_tells_the_state_and_then_every_change() {
    let world = world().await;
    world.create("w", &[("m1", &["a"])]).await;
    world.create("other", &[("m2", &["a"])]).await;
    let mut stream = watch(&world, "w", 0).await.unwrap();
    assert_eq!(told(&next(&mut stream).await), "snapshot");
    world.next("m2").await.unwrap();
    let action = world.next("m1").await.unwrap();
    world.succeed(&action).await;
    world.admin().delete(key("w")).await.unwrap();
    let wanted =
        ["offered PENDING", "action RUNNING", "workflow RUNNING", "action SUCCESS", "workflow SUCCESS", "deleted"];
    let mut last = 0;
    for wanted in wanted {
        let response = next(&mut stream).await;
        assert_eq!(told(&response), wanted);
        assert_eq!(response.workflow.is_none(), wanted == "deleted");
        assert!(response.sequence > last && response.sequence == response.event.unwrap().sequence);
        last = response.sequence;
    }
}

#[tokio::test]
async fn a_watch_that_is_taken_up_misses_nothing_also_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = || Config { data: tink_server::Place::File(directory.path().join("tink.db")), ..Config::embedded() };
    let before = world_with(config()).await;
    before.create("w", &[("m1", &["a", "b"])]).await;
    let mut stream = watch(&before, "", 0).await.unwrap();
    let sequence = next(&mut stream).await.sequence;
    let action = before.next("m1").await.unwrap();
    assert_eq!(told(&next(&mut stream).await), "offered PENDING");
    before.report(&action, StateType::Running).await.unwrap();
    before.running.shutdown().await;

    let after = world_with(config()).await;
    after.report(&action, StateType::Success).await.unwrap();
    let mut stream = watch(&after, "", sequence).await.unwrap();
    let snapshot = next(&mut stream).await;
    assert_eq!(
        (told(&snapshot).as_str(), snapshot.sequence),
        ("snapshot", sequence),
        "the events after it are to come"
    );
    for wanted in ["offered PENDING", "action RUNNING", "workflow RUNNING", "action SUCCESS"] {
        assert_eq!(told(&next(&mut stream).await), wanted);
    }
    let second = after.next("m1").await.unwrap();
    assert_eq!(told(&next(&mut stream).await), "offered PENDING", "stored events and the feed join without a gap");
    let mut from_start = watch(&after, "w", -1).await.unwrap();
    assert_eq!(told(&next(&mut from_start).await), "snapshot");
    assert_eq!(told(&next(&mut from_start).await), "created PENDING");
    after.report(&second, StateType::Failed).await.unwrap();
    assert_eq!(told(&next(&mut stream).await), "action FAILED");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_falls_behind_and_still_misses_nothing() {
    let world = world().await;
    let mut stream = watch(&world, "", 0).await.unwrap();
    // More than the server's feed keeps, with messages that fill the connection's window.
    let filler = "x".repeat(20_000);
    let count = 1300;
    for nth in 0..count {
        world.create(&format!("w{nth}"), &[("m1", &["a"])]).await;
        if nth < 100 {
            let action = world.next("m1").await.unwrap();
            let mut report = crate::world::status(&action, StateType::Failed);
            report.message = Some(tink_proto::v2025::ActionMessage { message: Some(filler.clone()) });
            world.agents().report_action_status(report).await.unwrap();
        }
    }
    let mut created = 0;
    let mut last = 0;
    while created < count {
        let response = next(&mut stream).await;
        assert!(response.sequence > last, "in order, none twice");
        assert!(response.sequence == last + 1 || last == 0, "none missing");
        last = response.sequence;
        created += usize::from(told(&response) == "created PENDING");
    }
}

#[tokio::test]
async fn a_watch_of_what_is_not_there_and_of_what_is_no_longer_kept_is_refused() {
    let world = world_with(Config { events_per_workflow: 10, ..Config::embedded() }).await;
    assert_eq!(watch(&world, "nowhere", 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(watch(&world, "", 99).await.unwrap_err().code(), Code::OutOfRange);
    let actions: Vec<String> = (0..40).map(|nth| format!("a{nth}")).collect();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    world.create("w", &[("m1", &actions)]).await;
    for _ in &actions {
        world.succeed(&world.next("m1").await.unwrap()).await;
    }
    let refused = watch(&world, "w", 1).await.unwrap_err();
    assert!(refused.code() == Code::OutOfRange && refused.message().contains("--events-per-workflow"), "{refused:?}");
}

#[tokio::test]
async fn a_stop_ends_watches_and_says_where_to_go_on() {
    let world = world().await;
    world.create("w", &[("m1", &["a"])]).await;
    let mut stream = watch(&world, "w", 0).await.unwrap();
    let sequence = next(&mut stream).await.sequence;
    world.running.shutdown().await;
    let ended = stream.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert!(ended.message().contains(&format!("after {sequence}")), "{ended:?}");
}
