//! The services that the CLI of 2021 calls, over gRPC and HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tink_proto::v2021::events::events_service_client::EventsServiceClient;
use tink_proto::v2021::events::{EventType, ResourceType, WatchRequest};
use tink_proto::v2021::hardware::hardware::{Dhcp, Network, dhcp, network::Interface};
use tink_proto::v2021::hardware::hardware_service_client::HardwareServiceClient;
use tink_proto::v2021::hardware::{DeleteRequest, GetRequest as HardwareRequest, Hardware, PushRequest};
use tink_proto::v2021::template::get_request::GetBy;
use tink_proto::v2021::template::template_service_client::TemplateServiceClient;
use tink_proto::v2021::template::{GetRequest, ListRequest, WorkflowTemplate, list_request::FilterBy};
use tink_proto::v2021::workflow::workflow_service_client::WorkflowServiceClient;
use tink_proto::v2021::workflow::{CreateRequest, Empty, GetRequest as WorkflowRequest, State};
use tink_server::{Config, Gateway, Password};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;
use tonic::transport::Channel;

use crate::http::get;
use crate::legacy::{Generation, Worker};
use crate::world::{World, template, world, world_with};

const ID: &str = "0eba0bf8-3772-4b4a-ab9f-6ebe93b90a94";
const OTHER: &str = "1eba0bf8-3772-4b4a-ab9f-6ebe93b90a94";
const MAC: &str = "08:00:27:ab:00:01";

fn machine(id: &str, mac: &str, ip: &str) -> Hardware {
    let dhcp =
        Dhcp { mac: mac.into(), ip: Some(dhcp::Ip { address: ip.into(), ..Default::default() }), ..Default::default() };
    let interfaces = vec![Interface { dhcp: Some(dhcp), netboot: None }];
    Hardware { id: id.into(), network: Some(Network { interfaces }), version: 0, metadata: r#"{"state":""}"#.into() }
}

struct Clients {
    hardware: HardwareServiceClient<Channel>,
    templates: TemplateServiceClient<Channel>,
    workflows: WorkflowServiceClient<Channel>,
}

fn clients(world: &World) -> Clients {
    Clients {
        hardware: HardwareServiceClient::new(world.channel.clone()),
        templates: TemplateServiceClient::new(world.channel.clone()),
        workflows: WorkflowServiceClient::new(world.channel.clone()),
    }
}

impl Clients {
    async fn push(&mut self, machine: Hardware) -> Result<(), tonic::Status> {
        self.hardware.push(PushRequest { data: Some(machine) }).await.map(drop)
    }

    async fn template(&mut self, name: &str, data: &str) -> Result<String, tonic::Status> {
        let template = WorkflowTemplate { name: name.into(), data: data.into(), ..Default::default() };
        self.templates.create_template(template).await.map(|answer| answer.into_inner().id)
    }

    async fn workflow(&mut self, template: &str, hardware: &Value) -> Result<String, tonic::Status> {
        let request = CreateRequest { template: template.into(), hardware: hardware.to_string() };
        self.workflows.create_workflow(request).await.map(|answer| answer.into_inner().id)
    }
}

async fn impatient() -> World {
    world_with(Config { hold: Duration::ZERO, ..Config::embedded() }).await
}

#[tokio::test]
async fn a_workflow_of_2021_runs_from_push_to_success() {
    let world = impatient().await;
    let mut clients = clients(&world);
    clients.push(machine(ID, &MAC.to_uppercase(), "192.168.1.5")).await.unwrap();
    clients.push(machine(OTHER, "08:00:27:ab:00:02", "192.168.1.6")).await.unwrap();
    let text = template(&[("\"{{.device_1}}\"", &["a", "b"]), ("\"{{.device_2}}\"", &["c"])]);
    let template = clients.template("Hello_World", &text).await.unwrap();
    let devices = json!({"device_1": "08-00-27-AB-00-01", "device_2": "192.168.1.6"});
    let id = clients.workflow(&template, &devices).await.unwrap();
    let get = WorkflowRequest { id: id.clone() };
    let before = clients.workflows.get_workflow(get.clone()).await.unwrap().into_inner();
    assert_eq!((before.state(), &before.template, &before.hardware), (State::Pending, &template, &devices.to_string()));
    assert!(before.data.contains("name: task0") && before.data.contains(ID), "{}", before.data);
    // The workers call themselves by the ids of their hardware.
    assert_eq!(Worker::new(&world, Generation::V2021, ID).pass().await, ["a", "b"]);
    let context = clients.workflows.get_workflow_context(get.clone()).await.unwrap().into_inner();
    assert_eq!((context.current_action_index, context.current_worker.as_str()), (2, OTHER));
    assert_eq!(Worker::new(&world, Generation::V2021, OTHER).pass().await, ["c"]);
    let after = clients.workflows.get_workflow(get.clone()).await.unwrap().into_inner();
    assert_eq!(after.state(), State::Success);
    let mut events = clients.workflows.show_workflow_events(get.clone()).await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        told.push((event.action_name.clone(), event.action_status(), event.seconds, event.message, event.worker_id));
    }
    let (started, finished) = ("Started execution", "finished execution successfully");
    let line = |action: &str, state, seconds, message: &str, worker: &str| {
        (action.to_owned(), state, seconds, message.to_owned(), worker.to_owned())
    };
    assert_eq!(
        told,
        [
            line("a", State::Running, 0, started, ID),
            line("a", State::Success, 7, finished, ID),
            line("b", State::Running, 0, started, ID),
            line("b", State::Success, 7, finished, ID),
            line("c", State::Running, 0, started, OTHER),
            line("c", State::Success, 7, finished, OTHER),
        ]
    );
    // People of today see the same workflow.
    assert_eq!(world.workflow(&id).await.state, "SUCCESS");
    clients.workflows.delete_workflow(get.clone()).await.unwrap();
    assert_eq!(clients.workflows.delete_workflow(get.clone()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(clients.workflows.get_workflow(get).await.unwrap_err().code(), Code::NotFound);
    let mut left = clients.workflows.list_workflows(Empty {}).await.unwrap().into_inner();
    assert_eq!(left.message().await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_become_a_workflow_says_why() {
    let world = world().await;
    let mut clients = clients(&world);
    let template = clients.template("t", &template(&[("\"{{.device_1}}\"", &["a"])])).await.unwrap();
    for (template, devices, why) in [
        ("1eba0bf8-3772-4b4a-ab9f-000000000000", json!({}), "not found, id:"),
        (&template, json!([]), "no JSON object"),
        (&template, json!({"device_2": MAC}), "device_1"),
        (&template, json!({"device_1": MAC}), "no worker found: mac: 08:00:27:ab:00:01"),
        (&template, json!({"device_1": "10.0.0.1"}), "no worker found: ip: 10.0.0.1"),
        (&template, json!({"device_1": "machine"}), "invalid worker address: machine"),
    ] {
        let status = clients.workflow(template, &devices).await.unwrap_err();
        assert!(status.message().contains(why), "{status:?}");
    }
    assert_eq!(clients.template("t", "tasks: []").await.unwrap_err().code(), Code::AlreadyExists);
    for (name, data) in [("", "x: y"), ("a b", "x: y"), ("a", ""), ("a", "{{")] {
        assert_eq!(clients.template(name, data).await.unwrap_err().code(), Code::InvalidArgument, "{name:?} {data:?}");
    }
}

#[tokio::test]
async fn templates_are_found_changed_and_deleted() {
    let world = world().await;
    let mut clients = clients(&world);
    let text = template(&[("m", &["a"])]);
    let id = clients.template("Hello_World", &text).await.unwrap();
    world.apply_template("of-today", &text).await;
    let by = |by| GetRequest { get_by: Some(by) };
    let found = clients.templates.get_template(by(GetBy::Name("Hello_World".into()))).await.unwrap().into_inner();
    assert_eq!((&found.id, &found.data), (&id, &text));
    let today = clients.templates.get_template(by(GetBy::Name("of-today".into()))).await.unwrap().into_inner();
    let same = clients.templates.get_template(by(GetBy::Id(today.id.clone()))).await.unwrap().into_inner();
    assert_eq!(same, today);
    assert!(clients.templates.get_template(GetRequest { get_by: None }).await.is_err());
    let list = async |clients: &mut Clients, pattern: &str| {
        let request = ListRequest { filter_by: Some(FilterBy::Name(pattern.into())) };
        let mut all = clients.templates.list_templates(request).await.unwrap().into_inner();
        let mut names = Vec::new();
        while let Some(template) = all.message().await.unwrap() {
            assert_eq!(template.data, "");
            names.push(template.name);
        }
        names
    };
    assert_eq!(list(&mut clients, "*").await, ["Hello_World", "of-today"]);
    assert_eq!(list(&mut clients, "hello*").await, ["Hello_World"]);
    let change = |name: &str, data: &str| WorkflowTemplate {
        id: id.clone(),
        name: name.into(),
        data: data.into(),
        ..Default::default()
    };
    clients.templates.update_template(change("Renamed", "")).await.unwrap();
    let found = clients.templates.get_template(by(GetBy::Id(id.clone()))).await.unwrap().into_inner();
    assert_eq!((found.name.as_str(), &found.data), ("Renamed", &text));
    assert!(clients.templates.update_template(change("", "{{")).await.is_err());
    clients.templates.delete_template(by(GetBy::Id(id.clone()))).await.unwrap();
    let gone = clients.templates.delete_template(by(GetBy::Id(id.clone()))).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!(clients.template("Hello_World", &text).await.unwrap(), id, "the name is free again");
}

#[tokio::test]
async fn hardware_is_found_by_mac_ip_and_id() {
    let world = world().await;
    let mut clients = clients(&world);
    clients.push(machine(ID, &MAC.to_uppercase(), "192.168.1.5")).await.unwrap();
    let expected = machine(ID, MAC, "192.168.1.5");
    let by = |mac: &str, ip: &str, id: &str| HardwareRequest { mac: mac.into(), ip: ip.into(), id: id.into() };
    let found = [
        clients.hardware.by_mac(by("08:00:27:AB:00:01", "", "")).await.unwrap().into_inner(),
        clients.hardware.by_ip(by("", "192.168.1.5", "")).await.unwrap().into_inner(),
        clients.hardware.by_id(by("", "", &ID.to_uppercase())).await.unwrap().into_inner(),
    ];
    assert!(found.iter().all(|found| *found == expected), "{found:?}");
    for wrong in [by("08:00:27:ab:00:09", "", ""), by("", "192.168.1.9", ""), by("", "", OTHER), by("", "", "")] {
        let answers = [
            clients.hardware.by_mac(wrong.clone()).await,
            clients.hardware.by_ip(wrong.clone()).await,
            clients.hardware.by_id(wrong).await,
        ];
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap_err().code() == Code::NotFound));
    }
    let conflict = clients.push(machine(OTHER, MAC, "192.168.1.6")).await.unwrap_err();
    assert!(conflict.message().contains(ID) && conflict.message().contains(MAC), "{conflict:?}");
    clients.push(machine(ID, MAC, "192.168.1.7")).await.unwrap();
    for wrong in [machine("", MAC, ""), machine("a/b", MAC, ""), machine(OTHER, "no-mac", "")] {
        assert_eq!(clients.push(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let delete = DeleteRequest { id: ID.into() };
    clients.hardware.delete(delete.clone()).await.unwrap();
    assert_eq!(clients.hardware.delete(delete).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_watch_tells_what_was_and_what_comes() {
    let world = world().await;
    let mut clients = clients(&world);
    clients.push(machine(ID, MAC, "192.168.1.5")).await.unwrap();
    let mut all = EventsServiceClient::new(world.channel.clone());
    let everything = WatchRequest::default();
    let mut all = all.watch(everything).await.unwrap().into_inner();
    let mut some = EventsServiceClient::new(world.channel.clone());
    let only = WatchRequest {
        resource_id: ID.into(),
        event_types: vec![EventType::Deleted.into()],
        resource_types: vec![ResourceType::Hardware.into()],
        watch_events_from: None,
    };
    let mut some = some.watch(only).await.unwrap().into_inner();
    let id = clients.template("t", &template(&[("m", &["a"])])).await.unwrap();
    clients.push(machine(ID, MAC, "192.168.1.6")).await.unwrap();
    clients.hardware.delete(DeleteRequest { id: ID.into() }).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..4 {
        let event = all.message().await.unwrap().unwrap();
        told.push((event.resource_type(), event.event_type(), event.resource_id.clone()));
        let row: Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(row["id"], event.resource_id.as_str());
        if event.resource_type() == ResourceType::Hardware {
            // The CLI reads hardware out of it, with its metadata as text.
            assert_eq!(row["data"]["metadata"], r#"{"state":""}"#, "{row}");
        }
    }
    use {EventType as E, ResourceType as R};
    assert_eq!(
        told,
        [
            (R::Hardware, E::Created, ID.to_owned()),
            (R::Template, E::Created, id),
            (R::Hardware, E::Updated, ID.to_owned()),
            (R::Hardware, E::Deleted, ID.to_owned()),
        ]
    );
    let deleted = some.message().await.unwrap().unwrap();
    assert_eq!((deleted.resource_id.as_str(), deleted.event_type()), (ID, E::Deleted));
    world.running.shutdown().await;
    assert_eq!(all.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn hardware_is_watched_until_it_changes() {
    let world = world().await;
    let mut clients = clients(&world);
    clients.push(machine(ID, MAC, "192.168.1.5")).await.unwrap();
    let request = HardwareRequest { id: ID.into(), ..Default::default() };
    let mut watch = clients.hardware.deprecated_watch(request).await.unwrap().into_inner();
    clients.push(machine(ID, MAC, "192.168.1.6")).await.unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap(), machine(ID, MAC, "192.168.1.6"));
}

/// Sends a request; status code and body.
async fn send(world: &World, method: &str, path: &str, body: &str, login: Option<&str>) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(world.running.http_addr().unwrap()).await.unwrap();
    let login = login.map(|login| format!("Authorization: Basic {login}\r\n")).unwrap_or_default();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{login}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn the_http_calls_of_2021_answer_as_they_did() {
    let world = impatient().await;
    let call = async |method: &str, path: &str, body: &str| send(&world, method, path, body, None).await;
    let file = json!({
        "id": ID, "metadata": {"state": ""},
        "network": {"interfaces": [{"dhcp": {"mac": MAC, "ip": {"address": "192.168.1.5"}}}]},
    });
    let (code, body) = call("POST", "/v1/hardware", &file.to_string()).await;
    let pushed = format!("{{\"status\": \"ok\", \"msg\": \"hardware data pushed successfully\", \"id\": \"{ID}\"}}\n");
    assert_eq!((code, body), (200, pushed));
    for (method, path, body) in [
        ("POST", "/v1/hardware/mac", json!({ "mac": MAC }).to_string()),
        ("POST", "/v1/hardware/ip", json!({"ip": "192.168.1.5"}).to_string()),
        ("GET", &*format!("/v1/hardware/{ID}"), String::new()),
        ("GET", "/v1/hardware", String::new()),
    ] {
        let (code, body) = call(method, path, &body).await;
        assert_eq!((code, serde_json::from_str::<Value>(&body).unwrap()), (200, file.clone()), "{path}");
        assert!(body.ends_with("}\n"));
    }
    assert_eq!(call("POST", "/v1/hardware", "{").await.0, 400);
    let (code, body) = call("POST", "/v1/hardware", "{}").await;
    assert_eq!(code, 400);
    assert!(body.contains("must contain an id"), "{body}");
    let (code, body) = call("GET", &format!("/v1/hardware/{OTHER}"), "").await;
    assert_eq!((code, body), (500, format!("rpc error: code = NotFound desc = not found, id:{OTHER}\n")));

    let text = template(&[("\"{{.device_1}}\"", &["a"])]);
    let (code, body) = call("POST", "/v1/templates", &json!({"name": "t", "data": text}).to_string()).await;
    assert_eq!(code, 200, "{body}");
    let id = |body: &str| serde_json::from_str::<Value>(body).unwrap()["id"].as_str().unwrap().to_owned();
    let template = id(&body);
    assert_eq!(call("GET", &format!("/v1/templates/{template}"), "").await, (200, format!("{text}\n")));
    assert_eq!(call("GET", "/v1/templates/name/t", "").await, (200, format!("{text}\n")));
    assert!(call("GET", "/v1/templates?name=T*", "").await.1.contains("\"name\":\"t\""));
    assert_eq!(call("GET", "/v1/templates?name=x", "").await, (200, String::new()));

    let hardware = json!({ "device_1": MAC }).to_string();
    let request = json!({"template": template, "hardware": hardware}).to_string();
    let (code, body) = call("POST", "/v1/workflows", &request).await;
    assert_eq!(code, 200, "{body}");
    let workflow = id(&body);
    assert!(call("GET", &format!("/v1/workflows/{workflow}"), "").await.1.contains("tasks:"));
    assert_eq!(Worker::new(&world, Generation::V2021, ID).pass().await, ["a"]);
    let (_, state) = call("GET", &format!("/v1/workflows/{workflow}/state"), "").await;
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(
        (&state["current_action_state"], &state["current_action_index"]),
        (&json!("STATE_SUCCESS"), &json!("0"))
    );
    let (_, events) = call("GET", &format!("/v1/workflows/{workflow}/events"), "").await;
    assert_eq!(events.lines().count(), 2, "{events}");
    assert!(call("GET", "/v1/workflows", "").await.1.contains("\"state\":\"STATE_SUCCESS\""));
    for (path, what) in [
        (format!("/v1/workflows/{workflow}"), "workflow"),
        (format!("/v1/templates/{template}"), "template"),
        (format!("/v1/hardware/{ID}"), "hardware"),
    ] {
        let (code, body) = call("DELETE", &path, "").await;
        assert_eq!(code, 200);
        assert!(body.contains(&format!("{what} deleted successfully")), "{body}");
        assert_eq!(call("DELETE", &path, "").await.0, 500);
    }
}

#[tokio::test]
async fn the_http_calls_ask_for_a_password_where_there_is_one() {
    let world = world_with(Config {
        http_username: Some("admin".into()),
        http_password: Some(Password("pw".into())),
        ..Config::embedded()
    })
    .await;
    // admin:pw, admin:px, admin:, nothing that is base64.
    for (login, code) in [
        (Some("YWRtaW46cHc="), 200),
        (Some("YWRtaW46cHg="), 401),
        (Some("YWRtaW46"), 401),
        (Some("%"), 401),
        (None, 401),
    ] {
        assert_eq!(send(&world, "GET", "/v1/templates", "", login).await.0, code, "{login:?}");
    }
    assert_eq!(get(&world, "/healthz").await.0, 200, "supervisors need none");
}

#[tokio::test]
async fn the_http_calls_can_be_switched_off_and_cert_needs_a_certificate() {
    let world = world_with(Config { http_gateway: Gateway::Off, ..Config::embedded() }).await;
    assert_eq!(get(&world, "/v1/templates").await.0, 404);
    assert_eq!(get(&world, "/cert").await.0, 404);
    let pem = "-----BEGIN CERTIFICATE-----\nof a proxy\n-----END CERTIFICATE-----\n";
    let world = world_with(Config { cert_pem: Some(pem.into()), ..Config::embedded() }).await;
    assert_eq!(get(&world, "/cert").await, (200, pem.to_owned()));
}
