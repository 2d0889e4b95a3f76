//! What no client may achieve.

use bytes::{BufMut, Bytes};
use http_body_util::BodyExt;
use tink_proto::admin::{ApplyRequest, CreateWorkflowRequest, Kind, ObjectRequest, WatchRequest};
use tink_proto::v2025::{ActionMessage, ActionStatusRequest};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Code, Status};

use crate::world::{World, key, object, world};

const GET_ACTION: &str = "/proto.WorkflowService/GetAction";
const REPORT: &str = "/proto.WorkflowService/ReportActionStatus";

/// Sends bytes as they are, and gives the status and the answer's message.
async fn raw(world: &World, path: &str, message: &[u8]) -> (Status, Bytes) {
    let mut frame = Vec::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.extend_from_slice(message);
    let body = Body::new(http_body_util::Full::new(Bytes::from(frame)).map_err(|never| match never {}));
    let request = http::Request::post(format!("http://{}{path}", world.running.grpc_addr()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let mut channel = world.channel.clone();
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let response = channel.call(request).await.unwrap();
    if let Some(status) = Status::from_header_map(response.headers()) {
        return (status, Bytes::new());
    }
    let collected = response.into_body().collect().await.unwrap();
    let status = collected.trailers().and_then(Status::from_header_map).unwrap_or_else(|| Status::ok(""));
    (status, collected.to_bytes())
}

/// The server answers others after it was given something bad.
async fn lives(world: &World) {
    world.workers().list(tink_proto::admin::ListWorkersRequest {}).await.unwrap();
    let metrics = crate::http::get(world, "/metrics").await.1;
    assert!(metrics.contains("tink_grpc_panics_total 0"), "{metrics}");
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let world = world().await;
    let invalid_utf8: &[u8] = &[0x0a, 2, 0xc3, 0x28];
    let wrong_wire_type: &[u8] = &[0x08, 1];
    let truncated: &[u8] = &[0x0a, 200, b'x'];
    let endless_varint: &[u8] = &[0xff; 12];
    for path in [GET_ACTION, REPORT] {
        for bytes in [invalid_utf8, wrong_wire_type, truncated, endless_varint] {
            let (status, _) = raw(&world, path, bytes).await;
            assert_ne!(status.code(), Code::Ok, "{path} {bytes:?}");
            assert!(status.message().contains("decode"), "{status:?}");
        }
    }
    lives(&world).await;
}

#[tokio::test]
async fn unknown_fields_are_passed_over() {
    let world = world().await;
    world.create("w", &[("m1", &["a"])]).await;
    // agent_id "m1", then field 1000 as text and field 1001 as a number.
    let bytes = [&[0x0a, 2, b'm', b'1'][..], &[0xc2, 0x3e, 1, b'x'], &[0xc8, 0x3e, 7]].concat();
    let (status, answer) = raw(&world, GET_ACTION, &bytes).await;
    assert_eq!(status.code(), Code::Ok, "{status:?}");
    assert!(answer.windows(9).any(|bytes| bytes == b"default/w"));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_the_limit() {
    let world = world().await;
    world.create("w", &[("m1", &["a"])]).await;
    let action = world.next("m1").await.unwrap();
    let mut report = crate::world::status(&action, tink_proto::v2025::action_status_request::StateType::Success);
    report.message = Some(ActionMessage { message: Some("x".repeat(5 * 1024 * 1024)) });
    let status = world.agents().report_action_status(report).await.unwrap_err();
    assert!(status.code() == Code::OutOfRange && status.message().contains("4194304"), "{status:?}");
    assert_eq!(world.workflow("w").await.state, "PENDING", "nothing of it was taken");
    let json = object("Template", "t", serde_json::json!({"data": "x".repeat(10 * 1024 * 1024)})).to_string();
    let status = world.objects().apply(ApplyRequest { kind: Kind::Template.into(), json }).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    lives(&world).await;
}

#[tokio::test]
async fn a_long_message_below_the_limit_is_cut() {
    let world = world().await;
    world.create("w", &[("m1", &["a"])]).await;
    let action = world.next("m1").await.unwrap();
    let mut report = crate::world::status(&action, tink_proto::v2025::action_status_request::StateType::Failed);
    report.message = Some(ActionMessage { message: Some("é".repeat(1024 * 1024)) });
    world.agents().report_action_status(report).await.unwrap();
    assert_eq!(world.workflow("w").await.tasks[0].actions[0].message.len(), 32 * 1024);
}

#[tokio::test]
async fn empty_and_impossible_ids_are_refused_at_once() {
    let world = world().await;
    for worker in ["", "a\nb", &"x".repeat(600)] {
        let status = world.next(worker).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{worker:?}");
        assert!(status.message().contains("worker id"), "{status:?}");
    }
    let status = world.agents().report_action_status(ActionStatusRequest::default()).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("workflow id"), "{status:?}");
    let report = ActionStatusRequest {
        workflow_id: Some("no-slash".into()),
        agent_id: Some("m".into()),
        task_id: Some("t".into()),
        action_id: Some("a".into()),
        action_state: Some(5),
        ..Default::default()
    };
    let status = world.agents().report_action_status(report.clone()).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("namespace/name"), "{status:?}");
    let never = ActionStatusRequest { workflow_id: Some("default/never".into()), ..report };
    // Today's agent ends for good when a result is refused, so it is taken and dropped; nothing may be started, though.
    let taken = world.agents().report_action_status(never.clone()).await.unwrap();
    assert!(taken.metadata().get("tink-refused").unwrap().to_str().unwrap().contains("default/never"));
    let start = ActionStatusRequest { action_state: Some(2), ..never };
    assert_eq!(world.agents().report_action_status(start).await.unwrap_err().code(), Code::NotFound);
    lives(&world).await;
}

#[tokio::test]
async fn administrators_requests_that_make_no_sense_name_the_field() {
    let world = world().await;
    let apply = async |kind: i32, json: &str| {
        let done = world.objects().apply(ApplyRequest { kind, json: json.to_owned() }).await;
        let status = done.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        status.message().to_owned()
    };
    assert!(apply(0, "{}").await.contains("kind"));
    assert!(apply(77, "{}").await.contains("77"));
    for json in ["", "{", "[]", "null", "{}", &format!("{}1{}", "[".repeat(5000), "]".repeat(5000))] {
        assert!(!apply(1, json).await.is_empty());
    }
    let broken = object("Template", "t", serde_json::json!({"data": "name: {{ .x"})).to_string();
    assert!(apply(2, &broken).await.contains("line 1"));
    let nameless = ObjectRequest { kind: 1, key: None };
    assert_eq!(world.objects().get(nameless).await.unwrap_err().code(), Code::InvalidArgument);
    let status = world.admin().get(key("a/b")).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("key.name"), "{status:?}");
    let manifest = CreateWorkflowRequest { manifest_json: "\u{0}".to_owned() };
    assert_eq!(world.admin().create(manifest).await.unwrap_err().code(), Code::InvalidArgument);
    let watch = WatchRequest { key: None, after_sequence: i64::MAX };
    assert_eq!(world.admin().watch(watch).await.unwrap_err().code(), Code::OutOfRange);
    lives(&world).await;
}

#[tokio::test]
async fn a_template_that_eats_time_or_memory_is_stopped() {
    let world = world().await;
    for (name, data) in [
        ("recursion", "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}"),
        ("output", "{{ range until 100000000 }}xxxxxxxxxxxxxxxxxxxxxxxxxx{{ end }}"),
        ("repeat", "{{ repeat 1000000000 \"x\" }}"),
    ] {
        let json = object("Template", name, serde_json::json!({"data": data})).to_string();
        // Refused at once, or when it is rendered.
        if world.objects().apply(ApplyRequest { kind: Kind::Template.into(), json }).await.is_ok() {
            let manifest = object("Workflow", name, serde_json::json!({"templateRef": name})).to_string();
            let status = world.admin().create(CreateWorkflowRequest { manifest_json: manifest }).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        }
    }
    lives(&world).await;
}

#[tokio::test]
async fn unknown_methods_and_plain_http_harm_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = world().await;
    assert_eq!(raw(&world, "/proto.WorkflowService/Nothing", &[]).await.0.code(), Code::Unimplemented);
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0x16, 3, 1, 0, 200], &[0; 64]] {
        let mut stream = tokio::net::TcpStream::connect(world.running.grpc_addr()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
    lives(&world).await;
}
