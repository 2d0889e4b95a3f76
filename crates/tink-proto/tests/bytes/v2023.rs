//! tink v0.9 to v0.12.

use tink_proto::v2023::{
    Empty, State, WorkflowAction, WorkflowActionList, WorkflowActionStatus, WorkflowActionsRequest, WorkflowContext,
    WorkflowContextRequest,
};

use crate::{at, same, texts};

#[test]
fn requests() {
    same(b"", &Empty {});
    same(b"\x0a\x0202", &WorkflowContextRequest { worker_id: "02".into() });
    same(b"\x0a\x04d/wf", &WorkflowActionsRequest { workflow_id: "d/wf".into() });
}

#[test]
fn where_a_workflow_stands() {
    let context = WorkflowContext {
        workflow_id: "d/wf".into(),
        current_worker: "02".into(),
        current_task: "t".into(),
        current_action: "a".into(),
        current_action_index: 300,
        current_action_state: State::Success.into(),
        total_number_of_actions: 301,
    };
    same(b"\x0a\x04d/wf\x12\x0202\x1a\x01t\x22\x01a\x28\xac\x02\x30\x04\x38\xad\x02", &context);
}

#[test]
fn nothing_is_sent_for_pending_at_the_start() {
    let context = WorkflowContext { workflow_id: "w".into(), total_number_of_actions: 1, ..Default::default() };
    same(b"\x0a\x01w\x38\x01", &context);
}

#[test]
fn actions() {
    let full = WorkflowAction {
        task_name: "t".into(),
        name: "a".into(),
        image: "i:1".into(),
        timeout: 90,
        command: texts(&["c1", ""]),
        on_timeout: texts(&["ot"]),
        on_failure: texts(&["of"]),
        worker_id: "02".into(),
        volumes: texts(&["/d:/d", "/e:/e:ro"]),
        environment: texts(&["K=V", "L="]),
        pid: "host".into(),
    };
    let bytes = b"\x0a\x01t\x12\x01a\x1a\x03i:1\x20\x5a\x2a\x02c1\x2a\x00\x32\x02ot\x3a\x02of\x42\x0202\
        \x4a\x05/d:/d\x4a\x08/e:/e:ro\x52\x03K=V\x52\x02L=\x5a\x04host";
    same(bytes, &full);
    let endless = WorkflowAction { timeout: -1, ..Default::default() };
    let bytes_of_endless = b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    same(bytes_of_endless, &endless);
    let length = u8::try_from(bytes.len()).unwrap();
    let list = [&[0x0a, length][..], bytes, b"\x0a\x0b", bytes_of_endless].concat();
    same(&list, &WorkflowActionList { action_list: vec![full, endless] });
}

#[test]
fn reports() {
    let report = WorkflowActionStatus {
        workflow_id: "d/wf".into(),
        task_name: "t".into(),
        action_name: "a".into(),
        action_status: State::Running.into(),
        seconds: 1,
        message: "Started execution".into(),
        created_at: Some(at()),
        worker_id: "02".into(),
    };
    let bytes = b"\x0a\x04d/wf\x12\x01t\x1a\x01a\x20\x01\x28\x01\x32\x11Started execution\
        \x3a\x08\x08\xf2\xc1\xe8\x80\x06\x10\x07\x42\x0202";
    same(bytes, &report);
}

#[test]
fn states_have_their_numbers() {
    let names = [0, 1, 2, 3, 4].map(|number| State::try_from(number).unwrap().as_str_name());
    assert_eq!(names, ["STATE_PENDING", "STATE_RUNNING", "STATE_FAILED", "STATE_TIMEOUT", "STATE_SUCCESS"]);
}
