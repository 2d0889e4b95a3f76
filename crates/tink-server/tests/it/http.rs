//! The HTTP port, health and reflection.

use std::time::Duration;

use tink_proto::v2025::action_status_request::StateType;
use tink_server::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::world::{World, world, world_with};

/// Status code and body.
pub async fn get(world: &World, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(world.running.http_addr().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn a_server_says_that_it_lives_and_is_ready() {
    let world = world().await;
    assert_eq!(get(&world, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&world, "/readyz").await, (200, "ok\n".to_owned()));
    let (code, version) = get(&world, "/version").await;
    assert!(code == 200 && version.contains(&format!("\"version\":\"{}\"", tink_server::VERSION)), "{version}");
    assert_eq!(get(&world, "/").await.0, 404);
    let request = HealthCheckRequest { service: "proto.WorkflowService".to_owned() };
    let health = HealthClient::new(world.channel.clone()).check(request).await.unwrap().into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let world = world_with(Config { hold: Duration::ZERO, ..Config::embedded() }).await;
    world.create("w", &[("m1", &["a", "b"])]).await;
    let action = world.next("m1").await.unwrap();
    world.succeed(&action).await;
    world.report(&action, StateType::Failed).await.unwrap();
    world.report(&world.next("m1").await.unwrap(), StateType::Timeout).await.unwrap();
    world.next("m1").await.unwrap_err();
    let (status, text) = get(&world, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "tink_workflows{state=\"TIMEOUT\"} 1",
        "tink_workflows{state=\"PENDING\"} 0",
        "tink_workflows_finished_total{state=\"TIMEOUT\"} 1",
        "tink_actions_finished_total{state=\"SUCCESS\"} 1",
        "tink_actions_finished_total{state=\"TIMEOUT\"} 1",
        "tink_reports_total 4",
        "tink_reports_refused_total 1",
        "tink_get_action_held 0",
        "tink_grpc_requests_total{grpc_method=\"/proto.WorkflowService/GetAction\",grpc_code=\"FAILED_PRECONDITION\"} 1",
        "tink_grpc_requests_total{grpc_method=\"/proto.WorkflowService/ReportActionStatus\",grpc_code=\"OK\"} 4",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(text.contains("tink_store_commit_seconds_count"));
    assert!(text.contains("tink_build_info{version="));
    assert!(text.ends_with("# EOF\n"));
}

/// Every service there is.
const SERVICES: [&str; 11] = [
    "github.com.tinkerbell.tink.protos.events.EventsService",
    "github.com.tinkerbell.tink.protos.hardware.HardwareService",
    "github.com.tinkerbell.tink.protos.template.TemplateService",
    "github.com.tinkerbell.tink.protos.workflow.WorkflowService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "proto.WorkflowService",
    "tink.v1.ObjectService",
    "tink.v1.WorkerService",
    "tink.v1.WorkflowService",
];

#[tokio::test]
async fn reflection_names_every_service() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let world = world().await;
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut stream = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let MessageResponse::ListServicesResponse(list) =
        stream.message().await.unwrap().unwrap().message_response.unwrap()
    else {
        panic!("no list")
    };
    let mut found: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    found.sort();
    assert_eq!(found, SERVICES);
    let mut health = HealthClient::new(world.channel.clone());
    for service in SERVICES.iter().filter(|service| !service.starts_with("grpc.")) {
        let request = HealthCheckRequest { service: (*service).to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
}

#[tokio::test]
async fn both_reflections_describe_the_messages_of_every_generation() {
    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1alpha::{ServerReflectionRequest, server_reflection_response::MessageResponse};
    let world = world().await;
    let mut client = ServerReflectionClient::new(world.channel.clone());
    for (symbol, also) in [
        ("proto.ActionRequest", "GetWorkflowContexts"),
        ("proto.WorkflowContextRequest", "GetAction"),
        ("proto.WorkflowService", "ReportActionStatus"),
        ("github.com.tinkerbell.tink.protos.workflow.WorkflowContextRequest", "GetWorkflowDataVersion"),
        ("github.com.tinkerbell.tink.protos.hardware.HardwareService", "DeprecatedWatch"),
        ("tink.v1.WorkerService", "ListWorkersRequest"),
    ] {
        let message_request = Some(MessageRequest::FileContainingSymbol(symbol.to_owned()));
        let request = ServerReflectionRequest { host: String::new(), message_request };
        let mut stream = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
        let answer = stream.message().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::FileDescriptorResponse(files) = answer else { panic!("{symbol}: {answer:?}") };
        let text = String::from_utf8_lossy(&files.file_descriptor_proto.concat()).into_owned();
        assert!(text.contains(also), "{symbol}: {text}");
    }
}
