//! tink v0.2 to v0.8.

use crate::{at, same, texts};

/// A field of [`at`] with the given key byte.
fn time(key: u8) -> Vec<u8> {
    [&[key][..], b"\x08\x08\xf2\xc1\xe8\x80\x06\x10\x07"].concat()
}

mod workflows {
    use tink_proto::v2021::workflow::*;

    use crate::v2021::*;

    #[test]
    fn requests() {
        same(b"", &Empty {});
        let create = CreateRequest { template: "T".into(), hardware: "{}".into() };
        same(b"\x0a\x01T\x12\x02{}", &create);
        same(b"\x0a\x01W", &CreateResponse { id: "W".into() });
        same(b"\x0a\x01W", &GetRequest { id: "W".into() });
        same(b"\x0a\x0202", &WorkflowContextRequest { worker_id: "02".into() });
        same(b"\x0a\x01W", &WorkflowActionsRequest { workflow_id: "W".into() });
    }

    #[test]
    fn a_workflow() {
        let whole = Workflow {
            id: "W".into(),
            template: "T".into(),
            hardware: "{}".into(),
            state: State::Timeout.into(),
            created_at: Some(at()),
            updated_at: Some(at()),
            deleted_at: Some(at()),
            data: "yaml".into(),
        };
        let bytes =
            [&b"\x0a\x01W\x12\x01T\x1a\x02{}\x20\x03"[..], &time(0x2a), &time(0x32), &time(0x3a), b"\x42\x04yaml"];
        same(&bytes.concat(), &whole);
    }

    #[test]
    fn contexts() {
        let context = WorkflowContext {
            workflow_id: "W".into(),
            current_worker: "02".into(),
            current_task: "t".into(),
            current_action: "a".into(),
            current_action_index: 2,
            current_action_state: State::Failed.into(),
            total_number_of_actions: 128,
        };
        let bytes = b"\x0a\x01W\x12\x0202\x1a\x01t\x22\x01a\x28\x02\x30\x02\x38\x80\x01";
        same(bytes, &context);
        let list = [&[0x0a, u8::try_from(bytes.len()).unwrap()][..], bytes, b"\x0a\x00"].concat();
        same(&list, &WorkflowContextList { workflow_contexts: vec![context, WorkflowContext::default()] });
    }

    #[test]
    fn actions() {
        let full = WorkflowAction {
            task_name: "t".into(),
            name: "a".into(),
            image: "i".into(),
            timeout: 3600,
            command: texts(&["c"]),
            on_timeout: texts(&["x", "y"]),
            on_failure: texts(&["z"]),
            worker_id: "02".into(),
            volumes: texts(&["/d:/d"]),
            environment: texts(&["K=V"]),
            pid: "host".into(),
        };
        let bytes = b"\x0a\x01t\x12\x01a\x1a\x01i\x20\x90\x1c\x2a\x01c\x32\x01x\x32\x01y\x3a\x01z\x42\x0202\
            \x4a\x05/d:/d\x52\x03K=V\x5a\x04host";
        same(bytes, &full);
        let list = [&[0x0a, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
        same(&list, &WorkflowActionList { action_list: vec![full] });
    }

    #[test]
    fn reports() {
        let report = WorkflowActionStatus {
            workflow_id: "W".into(),
            task_name: "t".into(),
            action_name: "a".into(),
            action_status: State::Success.into(),
            seconds: 4000,
            message: "m".into(),
            created_at: Some(at()),
            worker_id: "02".into(),
        };
        let bytes = [&b"\x0a\x01W\x12\x01t\x1a\x01a\x20\x04\x28\xa0\x1f\x32\x01m"[..], &time(0x3a), b"\x42\x0202"];
        same(&bytes.concat(), &report);
    }

    #[test]
    fn data() {
        same(b"\x0a\x01W\x10\x03", &GetWorkflowDataRequest { workflow_id: "W".into(), version: 3 });
        same(b"\x0a\x04{\xff\x00}\x10\x01", &GetWorkflowDataResponse { data: b"{\xff\x00}".to_vec(), version: 1 });
        let update =
            UpdateWorkflowDataRequest { workflow_id: "W".into(), metadata: b"{}".to_vec(), data: b"[]".to_vec() };
        same(b"\x0a\x01W\x12\x02{}\x1a\x02[]", &update);
    }

    #[test]
    fn states_have_their_numbers() {
        let names = [0, 1, 2, 3, 4].map(|number| State::try_from(number).unwrap().as_str_name());
        assert_eq!(names, ["STATE_PENDING", "STATE_RUNNING", "STATE_FAILED", "STATE_TIMEOUT", "STATE_SUCCESS"]);
    }
}

mod templates {
    use tink_proto::v2021::template::*;

    use crate::v2021::*;

    #[test]
    fn a_template() {
        let whole = WorkflowTemplate {
            id: "T".into(),
            name: "n".into(),
            created_at: Some(at()),
            updated_at: Some(at()),
            deleted_at: Some(at()),
            data: "yaml".into(),
        };
        let bytes = [&b"\x0a\x01T\x12\x01n"[..], &time(0x22), &time(0x2a), &time(0x32), b"\x3a\x04yaml"];
        same(&bytes.concat(), &whole);
    }

    #[test]
    fn requests() {
        same(b"", &Empty {});
        same(b"\x0a\x01T", &CreateResponse { id: "T".into() });
        same(b"\x0a\x01T", &GetRequest { get_by: Some(get_request::GetBy::Id("T".into())) });
        same(b"\x12\x01n", &GetRequest { get_by: Some(get_request::GetBy::Name("n".into())) });
        same(b"", &GetRequest { get_by: None });
        same(b"\x0a\x02a*", &ListRequest { filter_by: Some(list_request::FilterBy::Name("a*".into())) });
        same(b"\x0a\x00", &ListRequest { filter_by: Some(list_request::FilterBy::Name(String::new())) });
    }
}

mod machines {
    use tink_proto::v2021::hardware::hardware::network::Interface;
    use tink_proto::v2021::hardware::hardware::{Dhcp, Netboot, Network, dhcp, netboot};
    use tink_proto::v2021::hardware::{DeleteRequest, Empty, GetRequest, Hardware, PushRequest};

    use crate::v2021::*;

    /// The message between its key byte and its length.
    fn nested(key: u8, bytes: &[u8]) -> Vec<u8> {
        [&[key, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
    }

    #[test]
    fn requests() {
        same(b"", &Empty {});
        same(b"\x0a\x01M\x12\x01I\x1a\x01H", &GetRequest { mac: "M".into(), ip: "I".into(), id: "H".into() });
        same(b"\x0a\x01H", &DeleteRequest { id: "H".into() });
        let push = PushRequest { data: Some(Hardware { id: "H".into(), ..Default::default() }) };
        same(b"\x0a\x03\x3a\x01H", &push);
    }

    #[test]
    fn a_machine() {
        let ip = dhcp::Ip { address: "A".into(), netmask: "N".into(), gateway: "G".into(), family: 4 };
        let ip_bytes = b"\x0a\x01A\x12\x01N\x1a\x01G\x20\x04";
        same(ip_bytes, &ip);
        let dhcp = Dhcp {
            mac: "02".into(),
            hostname: "h".into(),
            lease_time: 86400,
            name_servers: texts(&["1", "2"]),
            time_servers: texts(&["3"]),
            arch: "x".into(),
            uefi: true,
            iface_name: "e".into(),
            ip: Some(ip),
        };
        let dhcp_bytes = [
            &b"\x0a\x0202\x1a\x01h\x20\x80\xa3\x05\x2a\x011\x2a\x012\x32\x013\x42\x01x\x48\x01\x52\x01e"[..],
            &nested(0x5a, ip_bytes),
        ]
        .concat();
        same(&dhcp_bytes, &dhcp);
        let ipxe = netboot::Ipxe { url: "u".into(), contents: "c".into() };
        same(b"\x0a\x01u\x12\x01c", &ipxe);
        let osie = netboot::Osie { base_url: "b".into(), kernel: "k".into(), initrd: "i".into() };
        same(b"\x0a\x01b\x12\x01k\x1a\x01i", &osie);
        let netboot = Netboot { allow_pxe: true, allow_workflow: true, ipxe: Some(ipxe), osie: Some(osie) };
        let netboot_bytes = b"\x08\x01\x10\x01\x1a\x06\x0a\x01u\x12\x01c\x2a\x09\x0a\x01b\x12\x01k\x1a\x01i";
        same(netboot_bytes, &netboot);
        let interface = Interface { dhcp: Some(dhcp), netboot: Some(netboot) };
        let interface_bytes = [nested(0x0a, &dhcp_bytes), nested(0x12, netboot_bytes)].concat();
        same(&interface_bytes, &interface);
        let network = Network { interfaces: vec![interface, Interface::default()] };
        let network_bytes = [nested(0x1a, &interface_bytes), b"\x1a\x00".to_vec()].concat();
        same(&network_bytes, &network);
        let machine = Hardware { network: Some(network), id: "H".into(), version: 1, metadata: "{}".into() };
        same(&[&nested(0x32, &network_bytes)[..], b"\x3a\x01H\x40\x01\x4a\x02{}"].concat(), &machine);
    }
}

mod watching {
    use tink_proto::v2021::events::*;

    use crate::v2021::*;

    #[test]
    fn an_event() {
        let event = Event {
            id: "E".into(),
            resource_id: "R".into(),
            resource_type: ResourceType::Workflow.into(),
            event_type: EventType::Deleted.into(),
            data: b"{}".to_vec(),
            created_at: Some(at()),
        };
        let bytes = [&b"\x0a\x01E\x12\x01R\x18\x03\x20\x03\x2a\x02{}"[..], &time(0x32)];
        same(&bytes.concat(), &event);
    }

    #[test]
    fn a_request_and_its_packed_lists() {
        let request = WatchRequest {
            resource_id: "R".into(),
            event_types: vec![EventType::Created.into(), EventType::Updated.into()],
            resource_types: vec![ResourceType::Template.into(), ResourceType::Hardware.into()],
            watch_events_from: Some(at()),
        };
        let packed = [&b"\x0a\x01R\x12\x02\x01\x02\x1a\x02\x01\x02"[..], &time(0x22)].concat();
        same(&packed, &request);
        // An encoder may also write each on its own.
        let unpacked = [&b"\x0a\x01R\x10\x01\x10\x02\x18\x01\x18\x02"[..], &time(0x22)].concat();
        assert_eq!(<WatchRequest as prost::Message>::decode(&unpacked[..]).unwrap(), request);
    }
}
