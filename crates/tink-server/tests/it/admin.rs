//! What administrators see.

use serde_json::json;
use tink_proto::admin::{
    ApplyRequest, CancelWorkflowRequest, CreateWorkflowRequest, CreateWorkflowResponse, Kind, ListRequest,
    ListWorkersRequest, ListWorkflowsRequest, ObjectRequest, WorkerRequest, apply_response::Outcome,
};
use tink_proto::v2025::action_status_request::StateType;
use tink_proto::v2025::{ActionRequest, AgentAttributes, Memory};
use tink_server::Config;
use tonic::{Code, Status};

use crate::world::{World, key, object, template, world, world_with};

#[tokio::test]
async fn objects_are_kept_whole_and_counted() {
    let world = world().await;
    let mut hardware = object("Hardware", "sm01", json!({"unknownToUs": {"a": [1, 2]}, "userData": "x"}));
    let apply = async |hardware: &serde_json::Value| {
        let request = ApplyRequest { kind: Kind::Hardware.into(), json: hardware.to_string() };
        world.objects().apply(request).await.unwrap().into_inner()
    };
    assert_eq!(apply(&hardware).await.outcome(), Outcome::Created);
    assert_eq!(apply(&hardware).await.outcome(), Outcome::Unchanged);
    hardware["spec"]["userData"] = json!("y");
    let updated = apply(&hardware).await;
    assert_eq!((updated.outcome(), updated.object.unwrap().version), (Outcome::Updated, 2));
    let request = || ObjectRequest { kind: Kind::Hardware.into(), key: Some(key("sm01")) };
    let got = world.objects().get(request()).await.unwrap().into_inner();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&got.json).unwrap(), hardware);
    let list = ListRequest { kind: Kind::Hardware.into(), namespace: String::new() };
    assert_eq!(world.objects().list(list).await.unwrap().into_inner().objects, [got]);
    world.objects().delete(request()).await.unwrap();
    assert_eq!(world.objects().get(request()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(world.objects().delete(request()).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_workflow_is_rendered_with_its_hardware_and_map() {
    let world = world().await;
    let disk = json!({"disks": [{"device": "/dev/nvme0n1"}], "metadata": {"instance": {"hostname": "h"}}});
    world.apply(Kind::Hardware, object("Hardware", "sm01", disk)).await;
    let data = "name: t\nglobal_timeout: 9\ntasks:\n- name: os\n  worker: '{{.device_1}}'\n  environment: {HOST: '{{ .hardware.spec.metadata.instance.hostname }}'}\n  actions:\n  - name: disk\n    image: image2disk:v1\n    timeout: 5\n    environment: {DEST: '{{ index .Hardware.Disks 0 }}'}\n";
    world.apply_template("t", data).await;
    let spec = json!({"templateRef": "t", "hardwareRef": "sm01", "hardwareMap": {"device_1": "08:00:27:00:00:01"}});
    let manifest = object("Workflow", "w", spec);
    let request = CreateWorkflowRequest { manifest_json: manifest.to_string() };
    let workflow = world.admin().create(request).await.unwrap().into_inner().workflow.unwrap();
    assert_eq!((workflow.global_timeout_s, workflow.state.as_str()), (9, "PENDING"));
    assert_eq!(workflow.manifest_json, manifest.to_string());
    let action = world.next("08:00:27:00:00:01").await.unwrap();
    assert_eq!(action.environment, ["DEST=/dev/nvme0n1", "HOST=h"]);
    assert_eq!(world.workflow("w").await.current_action_id, action.action_id.unwrap());
}

#[tokio::test]
async fn a_workflow_that_cannot_be_made_says_every_reason_with_its_line() {
    let world = world().await;
    let create = async |spec: serde_json::Value| {
        let request = CreateWorkflowRequest { manifest_json: object("Workflow", "w", spec).to_string() };
        world.admin().create(request).await.unwrap_err()
    };
    let missing = create(json!({"templateRef": "nowhere"})).await;
    assert_eq!(missing.code(), Code::NotFound);
    assert!(missing.message().contains("Template default/nowhere"), "{missing:?}");

    world
        .apply_template("t", "name: t\ntasks:\n- name: a\n  worker: ''\n  actions:\n  - name: b\n    image: '!!'\n")
        .await;
    let invalid = create(json!({"templateRef": "t"})).await;
    assert_eq!(invalid.code(), Code::InvalidArgument);
    for part in ["4:", "worker", "7:", "image"] {
        assert!(invalid.message().contains(part), "{part} in {invalid:?}");
    }
    world.apply_template("m", &template(&[("{{ .device_1 }}", &["a"])])).await;
    let unknown_key = create(json!({"templateRef": "m", "hardwareMap": {"device_2": "x"}})).await;
    assert_eq!(unknown_key.code(), Code::InvalidArgument);
    assert!(unknown_key.message().contains("device_1") && unknown_key.message().contains("line 6"), "{unknown_key:?}");

    world.create("twice", &[("m1", &["a"])]).await;
    let manifest = object("Workflow", "twice", json!({"templateRef": "twice"})).to_string();
    let again = world.admin().create(CreateWorkflowRequest { manifest_json: manifest }).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_cancelled_workflow_is_offered_no_more_and_its_result_is_still_taken() {
    let world = world().await;
    world.create("w", &[("m1", &["a", "b"])]).await;
    let action = world.next("m1").await.unwrap();
    world.report(&action, StateType::Running).await.unwrap();
    let cancel = || CancelWorkflowRequest { key: Some(key("w")), reason: "maintenance".to_owned() };
    let cancelled = world.admin().cancel(cancel()).await.unwrap().into_inner();
    assert_eq!((cancelled.state.as_str(), cancelled.message.as_str()), ("CANCELLED", "maintenance"));
    world.admin().cancel(cancel()).await.unwrap();
    world.report(&action, StateType::Success).await.unwrap();
    let workflow = world.workflow("w").await;
    assert_eq!((workflow.state.as_str(), workflow.tasks[0].actions[0].state.as_str()), ("CANCELLED", "SUCCESS"));
    world.create("next", &[("m1", &["c"])]).await;
    assert_eq!(world.next("m1").await.unwrap().workflow_id.as_deref(), Some("default/next"));
    let kinds: Vec<_> = world.events("w").await.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["created", "offered", "action", "workflow", "cancelled", "action"]);
    world.succeed(&world.next("m1").await.unwrap()).await;
    let ended = CancelWorkflowRequest { key: Some(key("next")), reason: String::new() };
    assert_eq!(world.admin().cancel(ended).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn workflows_are_listed_by_worker_and_state() {
    let world = world().await;
    world.create("a", &[("m1", &["x"])]).await;
    world.create("b", &[("m2", &["x"])]).await;
    world.succeed(&world.next("m1").await.unwrap()).await;
    let names = async |worker_id: &str, states: &[&str]| {
        let states = states.iter().map(|state| (*state).to_owned()).collect();
        let request = ListWorkflowsRequest { namespace: String::new(), worker_id: worker_id.to_owned(), states };
        let found = world.admin().list(request).await.map(tonic::Response::into_inner);
        found.map(|found| found.workflows.into_iter().map(|w| w.key.unwrap().name).collect::<Vec<_>>())
    };
    assert_eq!(names("", &[]).await.unwrap(), ["a", "b"]);
    assert_eq!(names("m2", &[]).await.unwrap(), ["b"]);
    assert_eq!(names("", &["success"]).await.unwrap(), ["a"]);
    let wrong = names("", &["DONE"]).await.unwrap_err();
    assert!(wrong.code() == Code::InvalidArgument && wrong.message().contains("PENDING, RUNNING"), "{wrong:?}");
}

#[tokio::test]
async fn workers_show_what_they_are_and_do() {
    let world = world().await;
    world.create("w", &[("m1", &["a"])]).await;
    let memory = Memory { total: Some("32GB".into()), usable: None };
    let attributes = AgentAttributes { memory: Some(memory), ..Default::default() };
    let request = ActionRequest { agent_id: Some("m1".into()), agent_attributes: Some(attributes) };
    let action = world.agents().get_action(request).await.unwrap().into_inner();
    let workers = async || world.workers().list(ListWorkersRequest {}).await.unwrap().into_inner().workers;
    let idle = &workers().await[0];
    assert_eq!((idle.id.as_str(), idle.connected, idle.workflow_id.as_str()), ("m1", false, ""));
    assert!(idle.address.starts_with("127.0.0.1:") && idle.first_seen.is_some());
    let kept: serde_json::Value = serde_json::from_str(&idle.attributes_json).unwrap();
    assert_eq!(kept["memory"], json!({"total": "32GB"}));
    world.report(&action, StateType::Running).await.unwrap();
    let busy = &workers().await[0];
    assert_eq!((busy.connected, busy.workflow_id.as_str(), busy.action_name.as_str()), (true, "default/w", "a"));
    assert_eq!(busy.attributes_json, idle.attributes_json);
    let one = |id: &str| WorkerRequest { id: id.to_owned() };
    assert_eq!(&world.workers().get(one("m1")).await.unwrap().into_inner(), busy);
    assert_eq!(world.workers().get(one("m2")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn hardware_shows_the_newest_attributes_of_its_worker_and_keeps_none() {
    let world = world_with(Config { hold: std::time::Duration::ZERO, ..Config::embedded() }).await;
    let spec = json!({"interfaces": [{"dhcp": {"mac": "08:00:27:00:00:0a"}}]});
    world.apply(Kind::Hardware, object("Hardware", "machine", spec.clone())).await;
    let shown = async |name: &str| {
        let request = ObjectRequest { kind: Kind::Hardware.into(), key: Some(key(name)) };
        let object = world.objects().get(request).await.unwrap().into_inner();
        (object.version, serde_json::from_str::<serde_json::Value>(&object.json).unwrap())
    };
    assert_eq!(shown("machine").await.1.get("status"), None);
    for total in ["16GB", "32GB"] {
        let memory = Memory { total: Some(total.into()), usable: None };
        let attributes = AgentAttributes { memory: Some(memory), ..Default::default() };
        let agent_id = Some("08:00:27:00:00:0A".to_owned());
        let request = ActionRequest { agent_id, agent_attributes: Some(attributes) };
        world.agents().get_action(request).await.unwrap_err();
        let (version, json) = shown("machine").await;
        assert_eq!((version, &json["status"]["attributes"]["inBand"]["memory"]["total"]), (1, &json!(total)));
    }
    world.apply(Kind::Hardware, object("Hardware", "other", json!({"agentID": "x"}))).await;
    assert_eq!(shown("other").await.1.get("status"), None);
}

/// Applies the hardware and the template of `examples/references` and creates its workflow.
async fn references_example(world: &World) -> Result<CreateWorkflowResponse, Status> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/references");
    for (file, kind) in [("hardware.yaml", Kind::Hardware), ("template.yaml", Kind::Template)] {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        for manifest in tink_manifest::read_file(&bytes, file).unwrap() {
            world.apply(kind, manifest.to_json()).await;
        }
    }
    let manifest_json = std::fs::read_to_string(folder.join("workflow.yaml")).unwrap();
    let created = world.admin().create(CreateWorkflowRequest { manifest_json }).await;
    created.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn templates_see_what_their_hardware_refers_to_where_that_is_allowed() {
    let world = world().await;
    let created = references_example(&world).await.unwrap();
    assert_eq!(created.warnings, Vec::<String>::new());
    let action = world.next("08:00:27:00:00:01").await.unwrap();
    assert_eq!(action.command, ["echo", "rack7 has 2 disks"]);
}

#[tokio::test]
async fn a_refused_reference_is_absent_and_the_error_says_how_to_allow_it() {
    let world = world_with(Config { allow_references: false, ..Config::embedded() }).await;
    let refused = references_example(&world).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let lines: Vec<&str> = refused.message().lines().collect();
    assert!(lines[0].starts_with("template references: ") && lines[0].contains("\"rack\""), "{refused:?}");
    let hint = "hardware machine1: spec.references.rack: references are not allowed by this server; start it with --allow-references";
    assert_eq!(lines[1..], [hint]);

    world.apply_template("plain", &template(&[("m1", &["a"])])).await;
    let manifest = object("Workflow", "plain", json!({"templateRef": "plain", "hardwareRef": "machine1"}));
    let request = CreateWorkflowRequest { manifest_json: manifest.to_string() };
    let created = world.admin().create(request).await.unwrap().into_inner();
    assert_eq!(created.warnings, [hint], "a template that does not use it renders");
}

#[tokio::test]
async fn references_reach_templates_and_workflows_and_what_is_not_there_is_said() {
    let world = world().await;
    world.create("first", &[("m1", &["a"])]).await;
    let reference = |resource: &str, name: &str| json!({"group": "tinkerbell.org", "version": "v1alpha1", "resource": resource, "namespace": "default", "name": name});
    let secret = json!({"group": "", "version": "v1", "resource": "secrets", "namespace": "default", "name": "s"});
    let references = json!({
        "t": reference("templates", "first"), "w": reference("workflows", "first"),
        "gone": reference("hardware", "nowhere"), "secret": secret,
    });
    world.apply(Kind::Hardware, object("Hardware", "h", json!({"references": references}))).await;
    let create = async |name: &str, worker: &str| {
        world.apply_template(name, &template(&[(worker, &["a"])])).await;
        let manifest = object("Workflow", name, json!({"templateRef": name, "hardwareRef": "h"}));
        let created = world.admin().create(CreateWorkflowRequest { manifest_json: manifest.to_string() }).await;
        created.map(tonic::Response::into_inner)
    };
    let worker = "{{ .references.t.kind }}-{{ .references.w.spec.templateRef }}-{{ .references.w.status.state }}";
    let warnings = create("seen", worker).await.unwrap().warnings;
    assert_eq!(world.next("Template-first-PENDING").await.unwrap().workflow_id.as_deref(), Some("default/seen"));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("there is no Hardware default/nowhere")), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("secrets")), "{warnings:?}");
    let missing = create("missing", "{{ .references.gone.metadata.name }}").await.unwrap_err();
    assert!(missing.message().ends_with("there is no Hardware default/nowhere; apply it first"), "{missing:?}");
    assert!(!missing.message().contains("secrets"), "only what the template used: {missing:?}");
}
