//! tinkerbell/tinkerbell. Every scalar has presence: what was set is sent, also when it is empty.

use prost::Message;
use tink_proto::v2025::action_status_request::StateType;
use tink_proto::v2025::{
    ActionMessage, ActionRequest, ActionResponse, ActionStatusRequest, ActionStatusResponse, AgentAttributes,
    Baseboard, Bios, Block, Chassis, Cpu, Gpu, Memory, Namespaces, Network, Pci, Processor, Product,
};

use crate::{at, same, texts};

fn set(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_parts_of_a_machine() {
    let processor = Processor {
        id: Some(0),
        cores: Some(4),
        threads: Some(200),
        vendor: set("v"),
        model: set(""),
        capabilities: texts(&["fpu", "avx"]),
    };
    let processor_bytes = b"\x08\x00\x10\x04\x18\xc8\x01\x22\x01v\x2a\x00\x32\x03fpu\x32\x03avx";
    same(processor_bytes, &processor);
    let cpu = Cpu { total_cores: Some(4), total_threads: Some(8), processors: vec![processor] };
    same(&[&b"\x08\x04\x10\x08\x1a\x16"[..], processor_bytes].concat(), &cpu);
    same(b"\x0a\x0432GB\x12\x0431GB", &Memory { total: set("32GB"), usable: set("31GB") });
    let block = Block {
        name: set("sda"),
        controller_type: set("SCSI"),
        drive_type: set("SSD"),
        size: set("1TB"),
        physical_block_size: set("4KB"),
        vendor: set("v"),
        model: set("m"),
        wwn: set("w"),
        serial_number: set("s"),
    };
    let bytes = b"\x0a\x03sda\x12\x04SCSI\x1a\x03SSD\x22\x031TB\x2a\x034KB\x32\x01v\x3a\x01m\x42\x01w\x4a\x01s";
    same(bytes, &block);
    let network = Network { name: set("e"), mac: set("02"), speed: set("1"), enabled_capabilities: texts(&["a", "b"]) };
    same(b"\x0a\x01e\x12\x0202\x1a\x011\x22\x01a\x22\x01b", &network);
    let device = b"\x0a\x01v\x12\x01p\x1a\x01c\x22\x01d";
    same(device, &Pci { vendor: set("v"), product: set("p"), class: set("c"), driver: set("d") });
    same(device, &Gpu { vendor: set("v"), product: set("p"), class: set("c"), driver: set("d") });
    same(b"\x0a\x01s\x12\x01v", &Chassis { serial: set("s"), vendor: set("v") });
    let bios = Bios { vendor: set("v"), version: set("1"), release_date: set("d") };
    same(b"\x0a\x01v\x12\x011\x1a\x01d", &bios);
    let board = Baseboard { vendor: set("v"), product: set("p"), version: set("1"), serial_number: set("s") };
    same(b"\x0a\x01v\x12\x01p\x1a\x011\x22\x01s", &board);
    same(b"\x0a\x01n\x12\x01v\x1a\x01s", &Product { name: set("n"), vendor: set("v"), serial_number: set("s") });
}

#[test]
fn a_request_for_work_with_all_attributes() {
    let attributes = AgentAttributes {
        cpu: Some(Cpu { total_cores: Some(1), ..Default::default() }),
        memory: Some(Memory { total: set("1"), usable: None }),
        block: vec![Block { name: set("b"), ..Default::default() }, Block::default()],
        network: vec![Network { name: set("n"), ..Default::default() }],
        pci: vec![Pci { vendor: set("p"), ..Default::default() }],
        gpu: vec![Gpu { vendor: set("g"), ..Default::default() }],
        chassis: Some(Chassis { serial: set("c"), vendor: None }),
        bios: Some(Bios { vendor: set("i"), ..Default::default() }),
        baseboard: Some(Baseboard::default()),
        product: Some(Product { name: set("o"), ..Default::default() }),
    };
    let bytes = b"\x0a\x02\x08\x01\x12\x03\x0a\x011\x1a\x03\x0a\x01b\x1a\x00\x22\x03\x0a\x01n\x2a\x03\x0a\x01p\
        \x32\x03\x0a\x01g\x3a\x03\x0a\x01c\x42\x03\x0a\x01i\x4a\x00\x52\x03\x0a\x01o";
    same(bytes, &attributes);
    let request = [&b"\x0a\x0202\x12"[..], &[u8::try_from(bytes.len()).unwrap()], bytes].concat();
    same(&request, &ActionRequest { agent_id: set("02"), agent_attributes: Some(attributes) });
    same(b"\x0a\x00", &ActionRequest { agent_id: set(""), agent_attributes: None });
}

#[test]
fn an_action() {
    let action = ActionResponse {
        workflow_id: set("d/wf"),
        task_id: set("T"),
        agent_id: set("02"),
        action_id: set("A"),
        name: set("n"),
        image: set("i"),
        timeout: Some(600),
        command: texts(&["c", "d"]),
        volumes: texts(&["/d:/d"]),
        environment: texts(&["K=V"]),
        pid: set(""),
        namespaces: Some(Namespaces { network: set("host"), pid: set("") }),
        ends_machine: None,
    };
    let bytes = b"\x0a\x04d/wf\x12\x01T\x1a\x0202\x22\x01A\x2a\x01n\x32\x01i\x38\xd8\x04\x42\x01c\x42\x01d\
        \x4a\x05/d:/d\x52\x03K=V\x5a\x00\x62\x08\x0a\x04host\x12\x00";
    same(bytes, &action);
    // Our own, far from upstream's numbers: key 2001 << 3.
    same(b"\x88\x7d\x01", &ActionResponse { ends_machine: Some(true), ..Default::default() });
}

#[test]
fn a_report() {
    let report = ActionStatusRequest {
        workflow_id: set("d/wf"),
        agent_id: set("02"),
        task_id: set("T"),
        action_id: set("A"),
        action_name: set("n"),
        action_state: Some(StateType::Success.into()),
        // Go's zero time.
        execution_start: Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 }),
        execution_stop: Some(at()),
        execution_duration: set("1h5s"),
        message: Some(ActionMessage { message: set("m") }),
        leaving: None,
    };
    let bytes = b"\x0a\x04d/wf\x12\x0202\x1a\x01T\x22\x01A\x2a\x01n\x30\x05\
        \x3a\x0b\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01\
        \x42\x08\x08\xf2\xc1\xe8\x80\x06\x10\x07\x4a\x041h5s\x52\x03\x0a\x01m";
    same(bytes, &report);
    same(b"\x88\x7d\x01", &ActionStatusRequest { leaving: Some(true), ..Default::default() });
    same(b"", &ActionStatusResponse {});
}

#[test]
fn a_state_nobody_knows_is_kept_as_its_number() {
    let report = ActionStatusRequest::decode(&b"\x30\x63"[..]).unwrap();
    assert_eq!(report.action_state, Some(99));
    let names = [0, 1, 2, 3, 4, 5].map(|number| StateType::try_from(number).unwrap().as_str_name());
    assert_eq!(names, ["UNSPECIFIED", "PENDING", "RUNNING", "FAILED", "TIMEOUT", "SUCCESS"]);
}
