//! Any text is a template that renders to a workflow, or is refused; within the limits, and with errors that have a place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tink_template::{CompileError, Data, check_syntax, compile};
use tink_workflow::Limits;

fuzz_target!(|source: &str| {
    let limits = Limits { rendered_bytes_max: 16 * 1024, ..Limits::default() };
    let data = Data::new()
        .hardware_map([("device_1", "52:54:00:12:34:01"), ("device_2", "a: [b]")])
        .value("list", json!([1, 2.5, "three", null, true, [4], {"five": 5}]))
        .hardware(json!({
            "metadata": {"name": "machine", "namespace": "tink"},
            "spec": {"disks": [{"device": "/dev/nvme0n1"}], "userData": "#cloud-config", "interfaces": [
                {"dhcp": {"mac": "52:54:00:12:34:01", "ip": {"address": "192.0.2.7", "netmask": "255.255.255.0"}}}
            ]},
        }));
    let syntax = check_syntax(source, &limits);
    match compile(source, &data, &limits) {
        Ok(compiled) => {
            assert!(syntax.is_ok(), "it rendered, but {syntax:?}");
            assert!(compiled.rendered.len() <= limits.rendered_bytes_max);
            drop(format!("{:?} {:?}", compiled.spec, compiled.warnings));
        }
        Err(CompileError::Render(error)) => {
            if let Err(wrong) = &syntax {
                assert_eq!(wrong, &error, "the same source is wrong in two ways");
            }
            if let Some(place) = error.position() {
                assert!(place.line >= 1 && place.column >= 1, "{error:?}");
            }
            assert!(!error.to_string().is_empty());
        }
        Err(CompileError::Parse { errors, rendered }) => {
            assert!(syntax.is_ok(), "it rendered, but {syntax:?}");
            assert!(rendered.len() <= limits.rendered_bytes_max);
            assert!(!errors.to_string().is_empty());
        }
    }
});
