//! What workers of 2023 and 2021 see, each over its own messages.

use std::time::Duration;

use tink_proto::v2025::action_status_request::StateType;
use tink_proto::{v2021, v2023};
use tink_server::Config;
use tonic::{Code, Status};

use crate::legacy::{Generation, Step, Worker, step};
use crate::world::{World, world, world_with};

/// Both generations, against one server.
const BOTH: [Generation; 2] = [Generation::V2023, Generation::V2021];

/// A server that holds calls for no time: nothing to do is told at once.
async fn impatient() -> World {
    world_with(Config { hold: Duration::ZERO, ..Config::embedded() }).await
}

#[tokio::test]
async fn a_workflow_of_two_workers_runs_from_create_to_success() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("m1", &["a", "b", "c"]), ("m2", &["d"]), ("m1", &["e"])]).await;
        let (m1, m2) = (Worker::new(&world, generation, "m1"), Worker::new(&world, generation, "m2"));
        assert_eq!(m1.pass().await, ["a", "b", "c"]);
        assert_eq!(m1.pass().await, Vec::<String>::new(), "not its turn");
        assert_eq!(m2.pass().await, ["d"]);
        assert_eq!(m1.pass().await, ["e"]);
        let workflow = world.workflow("w").await;
        assert_eq!(workflow.state, "SUCCESS", "{generation:?}");
        let action = &workflow.tasks[0].actions[0];
        assert_eq!((action.message.as_str(), action.duration.as_str()), ("finished execution successfully", "7s"));
        assert!(action.started_at.is_some() && action.stopped_at.is_some());
    }
}

#[tokio::test]
async fn three_generations_work_at_one_workflow_in_turn() {
    let world = impatient().await;
    world.create("w", &[("m1", &["a"]), ("m2", &["b"]), ("m3", &["c"])]).await;
    assert_eq!(Worker::new(&world, Generation::V2021, "m1").pass().await, ["a"]);
    assert_eq!(Worker::new(&world, Generation::V2023, "m2").pass().await, ["b"]);
    let action = world.next("m3").await.unwrap();
    world.succeed(&action).await;
    assert_eq!(world.workflow("w").await.state, "SUCCESS");
}

#[tokio::test]
async fn a_held_call_is_answered_by_a_create() {
    for generation in BOTH {
        let world = world().await;
        let worker = Worker::new(&world, generation, "m1");
        let (ran, _) = tokio::join!(worker.pass(), async {
            while world.workers_seen().await == 0 {}
            world.create("w", &[("m1", &["a"])]).await
        });
        assert_eq!(ran, ["a"]);
    }
}

#[tokio::test]
async fn a_stop_ends_a_held_call_without_an_error() {
    for generation in BOTH {
        let world = world().await;
        let worker = Worker::new(&world, generation, "m1");
        let held = tokio::spawn(async move { worker.contexts().await });
        while world.workers_seen().await == 0 {}
        world.running.shutdown().await;
        assert_eq!(held.await.unwrap().unwrap(), []);
    }
}

#[tokio::test]
async fn a_context_says_pending_until_there_is_a_result() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("m1", &["a", "b"])]).await;
        let worker = Worker::new(&world, generation, "m1");
        let first = worker.contexts().await.unwrap();
        assert_eq!((first.len(), first[0].index, first[0].state, first[0].total), (1, 0, 0, 2));
        assert_eq!((first[0].task.as_str(), first[0].action.as_str()), ("task0", "a"));
        worker.report(&first[0].workflow, "task0", "a", 1).await.unwrap();
        assert_eq!(worker.contexts().await.unwrap(), first, "a worker that comes back reports RUNNING anew");
        worker.report(&first[0].workflow, "task0", "a", 1).await.unwrap();
        worker.report(&first[0].workflow, "task0", "a", 4).await.unwrap();
        let next = worker.contexts().await.unwrap();
        assert_eq!((next[0].index, next[0].action.as_str(), next[0].state), (1, "b", 0));
    }
}

#[tokio::test]
async fn every_report_may_come_twice_and_running_may_be_left_out() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("m1", &["a", "b"])]).await;
        let worker = Worker::new(&world, generation, "m1");
        let id = worker.contexts().await.unwrap()[0].workflow.clone();
        for (action, state) in [("a", 1), ("a", 1), ("a", 4), ("a", 4), ("b", 4), ("b", 4), ("a", 4)] {
            worker.report(&id, "task0", action, state).await.unwrap();
        }
        assert_eq!(world.workflow("w").await.state, "SUCCESS");
        assert!(world.events("w").await.iter().all(|event| event.kind != "refused"));
    }
}

#[tokio::test]
async fn an_action_that_ended_gets_no_leave_to_start_again() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("m1", &["a", "b"])]).await;
        let worker = Worker::new(&world, generation, "m1");
        let id = worker.contexts().await.unwrap()[0].workflow.clone();
        worker.report(&id, "task0", "a", 4).await.unwrap();
        let status = worker.report(&id, "task0", "a", 1).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(worker.contexts().await.unwrap()[0].action, "b");
    }
}

#[tokio::test]
async fn a_result_is_never_an_error_and_changes_nothing_where_it_is_wrong() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("m1", &["a", "b", "c"])]).await;
        let worker = Worker::new(&world, generation, "m1");
        let id = worker.contexts().await.unwrap()[0].workflow.clone();
        worker.report(&id, "task0", "a", 1).await.unwrap();
        worker.report(&id, "task0", "a", 4).await.unwrap();
        let before = world.workflow("w").await;
        for (workflow, task, action, state) in [
            (&*id, "task0", "a", 2),
            (&id, "task0", "c", 4),
            (&id, "task0", "z", 4),
            (&id, "z", "a", 3),
            ("gone", "t", "a", 4),
        ] {
            let refused = worker.report(workflow, task, action, state).await.unwrap();
            assert!(refused.is_some(), "{workflow} {task} {action} {state} is said to be refused");
        }
        assert_eq!(world.workflow("w").await, before);
        assert_eq!(world.events("w").await.iter().filter(|event| event.kind == "refused").count(), 2);
    }
}

#[tokio::test]
async fn running_is_refused_where_the_action_must_not_run() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("m1", &["a", "b", "c"])]).await;
        let worker = Worker::new(&world, generation, "m1");
        let id = worker.contexts().await.unwrap()[0].workflow.clone();
        let code = async |workflow: &str, task: &str, action: &str, state| {
            worker.report(workflow, task, action, state).await.unwrap_err().code()
        };
        assert_eq!(code(&id, "task0", "b", 1).await, Code::InvalidArgument, "not its turn");
        assert_eq!(code(&id, "task0", "z", 1).await, Code::NotFound);
        assert_eq!(code(&id, "z", "a", 1).await, Code::NotFound);
        assert_eq!(code("gone", "task0", "a", 1).await, Code::NotFound);
        for state in [0, 5, -1] {
            assert_eq!(code(&id, "task0", "a", state).await, Code::InvalidArgument, "{state}");
        }
        for (workflow, task, action) in [("", "t", "a"), (&id, "", "a"), (&id, "t", "")] {
            let status = worker.report(workflow, task, action, 4).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().starts_with("invalid "), "{status:?}");
        }
        worker.report(&id, "task0", "a", 1).await.unwrap();
        world.cancel("w").await;
        assert_eq!(worker.report(&id, "task0", "a", 4).await.unwrap(), None, "what ran is recorded");
        assert_eq!(code(&id, "task0", "b", 1).await, Code::FailedPrecondition);
        assert_eq!(worker.contexts().await.unwrap(), []);
        assert_eq!(world.workflow("w").await.state, "CANCELLED");
    }
}

#[tokio::test]
async fn a_worker_at_a_deleted_workflow_says_nothing_of_a_new_one_with_its_name() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("m1", &["a", "b"])]).await;
        let worker = Worker::new(&world, generation, "m1");
        let id = worker.contexts().await.unwrap()[0].workflow.clone();
        worker.report(&id, "task0", "a", 1).await.unwrap();
        world.delete("w").await;
        assert!(worker.report(&id, "task0", "a", 4).await.unwrap().is_some());
        world.create("w", &[("m1", &["a", "b"])]).await;
        assert!(worker.report(&id, "task0", "a", 4).await.unwrap().is_some());
        assert_eq!(worker.report(&id, "task0", "b", 1).await.unwrap_err().code(), Code::FailedPrecondition);
        assert_eq!(world.workflow("w").await.state, "PENDING");
        assert_eq!(worker.pass().await, ["a", "b"], "the new one runs whole");
    }
}

#[tokio::test]
async fn a_failed_action_ends_its_workflow_and_the_next_one_follows() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("one", &[("m1", &["a", "b"])]).await;
        world.create("two", &[("m1", &["c"])]).await;
        let worker = Worker::new(&world, generation, "m1");
        let both = worker.contexts().await.unwrap();
        assert_eq!(both.iter().map(|context| context.action.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        worker.report(&both[0].workflow, "task0", "a", 1).await.unwrap();
        worker.report(&both[0].workflow, "task0", "a", 3).await.unwrap();
        assert_eq!(world.workflow("one").await.state, "TIMEOUT");
        assert_eq!(worker.pass().await, ["c"]);
    }
}

#[tokio::test]
async fn a_worker_is_found_by_its_mac_in_any_case_and_gets_its_own_spelling_back() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("08:00:27:AB:CD:0f", &["a"]), ("08:00:27:ab:cd:0f", &["b"])]).await;
        // Neither spelling is that of the first task: a task is found in its own, in lower and in upper case.
        assert_eq!(Worker::new(&world, generation, "08-00-27-ab-cd-0f").pass().await, Vec::<String>::new());
        assert_eq!(Worker::new(&world, generation, "08:00:27:AB:CD:0f").pass().await, ["a"]);
        assert_eq!(Worker::new(&world, generation, "08:00:27:AB:CD:0F").pass().await, ["b"]);
        assert_eq!(world.workflow("w").await.state, "SUCCESS");
    }
}

#[tokio::test]
async fn an_answer_says_how_long_the_lease_is_where_there_are_leases() {
    for (lease, said) in [(Duration::from_secs(60), Some("60".to_owned())), (Duration::ZERO, None)] {
        let world = world_with(Config { hold: Duration::ZERO, lease, ..Config::embedded() }).await;
        for generation in BOTH {
            assert_eq!(Worker::new(&world, generation, "m1").lease_s().await, said, "{generation:?}");
        }
    }
}

#[tokio::test]
async fn ids_without_a_worker_or_workflow_are_named() {
    for generation in BOTH {
        let world = impatient().await;
        let status = Worker::new(&world, generation, "").contexts().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("invalid worker id"), "{status:?}");
        let worker = Worker::new(&world, generation, "m1");
        assert_eq!(worker.actions("").await.unwrap_err().code(), Code::InvalidArgument);
        // An empty list would crash the workers of these generations.
        assert_eq!(worker.actions("gone").await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn ids_of_workflows_have_no_slash_for_workers_of_2021() {
    let world = impatient().await;
    world.create("w", &[("m1", &["a"])]).await;
    let id = |contexts: Vec<Step>| contexts[0].workflow.clone();
    assert_eq!(id(Worker::new(&world, Generation::V2021, "m1").contexts().await.unwrap()), "w");
    assert_eq!(id(Worker::new(&world, Generation::V2023, "m1").contexts().await.unwrap()), "default/w");
}

#[tokio::test]
async fn calls_that_a_generation_does_not_have_are_unimplemented() {
    let world = impatient().await;
    let mut grpc = tonic::client::Grpc::new(world.channel.clone());
    for path in
        ["/proto.WorkflowService/GetWorkflows", "/github.com.tinkerbell.tink.protos.workflow.WorkflowSvc/GetWorkflow"]
    {
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<v2023::Empty, v2023::Empty>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        let answer = grpc.unary(tonic::Request::new(v2023::Empty {}), path, codec).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn data_of_a_workflow_is_shared_in_versions() {
    use v2021::workflow::{GetWorkflowDataRequest, UpdateWorkflowDataRequest};
    let world = impatient().await;
    world.create("w", &[("m1", &["a"])]).await;
    let mut client = v2021::workflow::workflow_service_client::WorkflowServiceClient::new(world.channel.clone());
    let get = |version| GetWorkflowDataRequest { workflow_id: "w".into(), version };
    let answer = client.get_workflow_data(get(0)).await.unwrap().into_inner();
    assert_eq!((answer.data.as_slice(), answer.version), (&b""[..], 0));
    let update = |data: &str| UpdateWorkflowDataRequest {
        workflow_id: "w".into(),
        metadata: br#"{"workerID":"m1","actionName":"a"}"#.to_vec(),
        data: data.into(),
    };
    for nth in 1..=5 {
        client.update_workflow_data(update(&format!("{{ \"n\": {nth} }}"))).await.unwrap();
    }
    let newest = client.get_workflow_data(get(0)).await.unwrap().into_inner();
    assert_eq!((newest.data.as_slice(), newest.version), (&b"{ \"n\": 5 }"[..], 5));
    assert_eq!(client.get_workflow_data(get(3)).await.unwrap().into_inner().data, b"{ \"n\": 3 }");
    assert_eq!(client.get_workflow_data(get(2)).await.unwrap().into_inner().data, b"", "three are kept");
    assert_eq!(client.get_workflow_data_version(get(0)).await.unwrap().into_inner().version, 5);
    let metadata = client.get_workflow_metadata(get(1)).await.unwrap().into_inner();
    assert_eq!(metadata.data, br#"{"workerID":"m1","actionName":"a"}"#);
    let bad = client.update_workflow_data(update("{")).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    // A worker would end its process.
    let gone = UpdateWorkflowDataRequest { workflow_id: "gone".into(), ..update("{}") };
    let answer = client.update_workflow_data(gone).await.unwrap();
    assert!(answer.metadata().get("tink-refused").is_some());
}

#[tokio::test]
async fn any_order_of_reports_of_all_generations_keeps_what_finished() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config as Cases, TestRunner};
    // Steps of a worker that may be restarted, upgraded or downgraded at any point.
    let mut runner = TestRunner::new(Cases { cases: 24, ..Cases::default() });
    let world = std::sync::Arc::new(impatient().await);
    let handle = tokio::runtime::Handle::current();
    let nth = std::sync::atomic::AtomicUsize::new(0);
    let run = tokio::task::spawn_blocking(move || {
        runner.run(&prop::collection::vec(step(), 1..24), |steps| {
            let name = format!("w{}", nth.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            handle.block_on(crate::legacy::keeps_what_finished(&world, &name, &steps));
            Ok(())
        })
    });
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_report_of_today_on_the_shared_path_is_still_todays() {
    let world = impatient().await;
    world.create("w", &[("m1", &["a"])]).await;
    let action = world.next("m1").await.unwrap();
    world.report(&action, StateType::Running).await.unwrap();
    world.report(&action, StateType::Success).await.unwrap();
    let empty = world.agents().report_action_status(tink_proto::v2025::ActionStatusRequest::default()).await;
    let status: Status = empty.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(world.workflow("w").await.state, "SUCCESS");
}

#[tokio::test]
async fn a_worker_whose_connection_broke_waits_for_the_old_one_to_be_gone() {
    for generation in BOTH {
        let world = impatient().await;
        world.create("w", &[("m1", &["a"])]).await;
        let old = Worker::over(crate::world::connect(&world.running).await, generation, "m1");
        let id = old.contexts().await.unwrap()[0].workflow.clone();
        old.report(&id, "task0", "a", 1).await.unwrap();
        let new = Worker::new(&world, generation, "m1");
        assert_eq!(new.contexts().await.unwrap(), [], "another process may have the action");
        let again = tokio::spawn({
            let (new, id) = (new.clone(), id.clone());
            async move { new.report(&id, "task0", "a", 1).await }
        });
        // Refused for the first time.
        while crate::http::get(&world, "/metrics").await.1.contains("tink_reports_refused_total 0") {}
        assert!(!again.is_finished());
        drop(old);
        assert_eq!(again.await.unwrap().unwrap(), None);
    }
}
