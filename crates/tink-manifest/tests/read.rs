//! Files people have, and files that are wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::Config;
use tink_manifest::{FILE_BYTES_MAX, Manifest, Problem, read_file};

const MACHINE: &str = "apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata:
  name: machine1
  labels: {rack: 7, hot: yes}
spec:
  agentID: lab-1
  disks:
  - device: /dev/nvme0n1
  interfaces:
  - dhcp:
      mac: 3C:EC:EF:4C:4F:54
      ip: {address: 10.0.0.2, netmask: 255.255.255.0}
      uefi: yes
    netboot: {allowPXE: true}
  - dhcp: {mac: 3c:ec:ef:4c:4f:55}
  references:
    lvm: {group: example.org, name: lvm1}
status: {state: on}
";

const TEMPLATE: &str = "apiVersion: \"tinkerbell.org/v1alpha1\"
kind: Template
metadata: {name: ubuntu, namespace: tink-system, annotations: {note: 'x: y'}}
spec:
  data: |
    version: \"0.1\"
    name: ubuntu
    tasks:
    - name: {{ .x }}
";

const WORKFLOW: &str = "apiVersion: tinkerbell.org/v1alpha1
kind: Workflow
metadata: {name: install}
spec:
  templateRef: ubuntu
  hardwareRef: machine1
  disabled: no
  hardwareMap: {device_1: 02:00:00:00:00:01, count: 5, wipe: true, mode: 0644, none: ~}
  bootOptions: {toggleAllowNetboot: true, bootMode: netboot}
";

fn read(text: &str) -> Vec<Manifest> {
    read_file(text.as_bytes(), "dir/file.yaml").unwrap()
}

fn errors(text: &str) -> Vec<String> {
    read_file(text.as_bytes(), "f.yaml").unwrap_err().to_string().lines().map(str::to_owned).collect()
}

#[test]
fn several_documents_of_all_kinds_are_read() {
    let all = read(&format!("---\n{MACHINE}---\n---\n# nothing\n---\n{TEMPLATE}---\n{WORKFLOW}"));
    let kinds: Vec<_> = all.iter().map(|manifest| (manifest.kind(), manifest.metadata().namespace.as_str())).collect();
    assert_eq!(kinds, [("Hardware", "default"), ("Template", "tink-system"), ("Workflow", "default")]);
    let Manifest::Hardware(hardware) = &all[0] else { panic!() };
    assert_eq!(hardware.agent_id(), Some("lab-1"));
    assert_eq!(hardware.macs(), ["3c:ec:ef:4c:4f:54", "3c:ec:ef:4c:4f:55"]);
    assert_eq!(hardware.references().len(), 1);
    assert_eq!(hardware.metadata.labels["rack"], "7");
    assert_eq!(hardware.object().pointer("/metadata/labels/hot").unwrap(), "yes");
    assert_eq!(hardware.object().pointer("/metadata/namespace").unwrap(), "default");
    assert_eq!(hardware.object().pointer("/spec/interfaces/0/dhcp/uefi").unwrap(), true, "YAML 1.1, as Kubernetes");
    assert_eq!(hardware.object().pointer("/status/state").unwrap(), true);
    let Manifest::Template(template) = &all[1] else { panic!() };
    assert!(template.data.starts_with("version: \"0.1\"\n") && template.data.ends_with("{{ .x }}\n"));
    let Manifest::Workflow(workflow) = &all[2] else { panic!() };
    assert_eq!((workflow.template_ref.as_str(), workflow.hardware_ref.as_str()), ("ubuntu", "machine1"));
    let map: Vec<_> = workflow.hardware_map.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(map, ["count=5", "device_1=02:00:00:00:00:01", "mode=0644", "none=", "wipe=true"]);
    assert!(!workflow.disabled);
    assert_eq!(workflow.boot_options.as_ref().unwrap()["bootMode"], "netboot");
}

#[test]
fn what_was_read_is_written_and_read_again() {
    let all = read(&format!("{MACHINE}---\n{TEMPLATE}---\n{WORKFLOW}"));
    let yaml: Vec<_> = all.iter().map(Manifest::to_yaml).collect();
    assert_eq!(read(&yaml.join("---\n")), all);
    let json = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": all.iter().map(Manifest::to_json).collect::<Vec<_>>()});
    assert_eq!(read(&serde_json::to_string_pretty(&json).unwrap().replace("  ", "\t")), all, "JSON is YAML, tabs too");
    assert!(yaml[1].contains("  data: |\n    version: \"0.1\"\n"), "{}", yaml[1]);
}

#[test]
fn items_of_a_list_may_leave_out_what_the_list_says() {
    let all = read(
        "apiVersion: tinkerbell.org/v1alpha1\nkind: HardwareList\nitems:\n- metadata: {name: a}\n  spec: {}\n- metadata: {name: b}\n",
    );
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].to_json()["kind"], "Hardware");
    let found = errors("apiVersion: v1\nkind: List\nitems:\n- metadata: {name: a}\n");
    assert!(
        found[0].starts_with("f.yaml:4:3: document 1: apiVersion: missing; allowed: tinkerbell.org/v1alpha1 with kind"),
        "{found:?}"
    );
}

#[test]
fn a_templates_data_alone_is_a_template() {
    for (text, name) in [
        ("version: \"0.1\"\nname: hello_world_workflow\nglobal_timeout: 600\ntasks:\n", "hello-world-workflow"),
        ("name: \"{{ .name }}\"\ntasks: []\n", "file"),
        ("{{ if .x }}\nname: Windows_deployment # comment\n{{ end }}\n", "windows-deployment"),
        ("tasks:\n- {}\n", "file"),
        ("version: 0.1\ntasks:\n- x: |\n    apiVersion: v1\n", "file"),
    ] {
        let all = read(text);
        let Manifest::Template(template) = &all[0] else { panic!("{text}") };
        assert_eq!((template.metadata.name.as_str(), template.data.as_str()), (name, text));
        assert_eq!(template.metadata.namespace, "default");
    }
    let found = errors("a: 1\n");
    assert!(found[0].contains("apiVersion: missing"), "{found:?}");
}

#[test]
fn other_kinds_are_named_and_can_be_skipped() {
    let text = format!(
        "{MACHINE}---\napiVersion: tinkerbell.org/v1alpha1\nkind: WorkflowRuleSet\nmetadata: {{name: r}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n"
    );
    let found = read_file(text.as_bytes(), "f.yaml").unwrap_err();
    let lines: Vec<_> = found.to_string().lines().map(str::to_owned).collect();
    let rest =
        "is not supported and was skipped; supported are Hardware, Template and Workflow of tinkerbell.org/v1alpha1";
    assert_eq!(lines[0], format!("f.yaml:21:1: document 2: kind: WorkflowRuleSet of tinkerbell.org/v1alpha1 {rest}"));
    assert_eq!(lines[1], format!("f.yaml:25:1: document 3: kind: Secret of v1 {rest}"));
    let (sound, skipped) = found.skip_unsupported().unwrap();
    assert_eq!((sound.len(), skipped.len()), (1, 2));
    let text = format!("{text}---\nkind: Workflow\n");
    assert!(read_file(text.as_bytes(), "f").unwrap_err().skip_unsupported().is_err());
}

#[test]
fn every_error_names_file_document_line_field_found_and_allowed() {
    let text = "apiVersion: tinkerbell.org/v1alpha1
kind: Workflow
metadata: {name: Bad_Name, namespace: a.b}
spec:
  hardwaremap: {a: b}
  hardwareMap: {a: [1]}
  disabled: maybe
  bootOptions: 5
---
apiVersion: tinkerbell.org/v1alpha1
kind: Template
metadata: {namespace: x}
spec:
  data: {version: '0.1'}
---
apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
spec:
  interfaces:
  - dhcp: {mac: 02:00:00:00:00:zz}
  - dhcp: {mac: 02:00:00:00:00:01}
  - dhcp: {mac: 02:00:00:00:00:01}
  - 5
  disks: /dev/sda
";
    let subdomain = "1 to 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends and around each '.'";
    let expected = [
        format!("3:18: document 1: metadata.name: found `Bad_Name`; allowed: {subdomain}"),
        "3:39: document 1: metadata.namespace: found `a.b`; allowed: 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends".into(),
        "5:3: document 1: spec: found `hardwaremap`; allowed: the keys disabled, templateRef, hardwareRef, hardwareMap, bootOptions".into(),
        "8:16: document 1: spec.bootOptions: found `5`; allowed: a mapping".into(),
        "6:20: document 1: spec.hardwareMap.a: found a list; allowed: text".into(),
        "7:13: document 1: spec.disabled: found `maybe`; allowed: true or false".into(),
        "5:3: document 1: spec.templateRef: missing; allowed: the name of a Template in the same namespace".into(),
        format!("12:11: document 2: metadata.name: missing; allowed: {subdomain}"),
        "14:9: document 2: spec.data: found a mapping; allowed: the template's text, after `data: |`".into(),
        "16:1: document 3: metadata: missing; allowed: a mapping with the object's `name`".into(),
        "20:17: document 3: spec.interfaces[0].dhcp.mac: found `02:00:00:00:00:zz`; allowed: six pairs of hex digits such as 08:00:27:00:00:01".into(),
        "22:17: document 3: spec.interfaces[2].dhcp.mac: found 02:00:00:00:00:01, which line 21 has, too; allowed: a MAC address of its own for each interface".into(),
        "23:5: document 3: spec.interfaces[3]: found `5`; allowed: a mapping with `dhcp` and `netboot`".into(),
        "24:10: document 3: spec.disks: found `/dev/sda`; allowed: a list".into(),
    ];
    let found = errors(text);
    for (nth, expected) in expected.iter().enumerate() {
        assert_eq!(found.get(nth).map(String::as_str), Some(format!("f.yaml:{expected}").as_str()), "{found:#?}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn an_object_may_stand_in_a_file_once() {
    let found = errors(&format!("{WORKFLOW}---\n{WORKFLOW}"));
    assert_eq!(
        found,
        [
            "f.yaml:11:1: document 2: metadata.name: Workflow \"default/install\" was already given on line 1; each object may stand in a file once"
        ]
    );
}

#[test]
fn bytes_that_are_no_yaml_are_refused_with_their_place() {
    let found = read_file(b"a: 1\nb: \xe4\n", "f").unwrap_err();
    assert_eq!(found.to_string(), "f:2:4: document 1: the byte 0xe4 is no UTF-8; save the file as UTF-8 text");
    let found = read_file(&vec![b'a'; FILE_BYTES_MAX + 1], "f").unwrap_err();
    assert!(matches!(found.errors[0].problem, Problem::TooLong { .. }));
    for empty in ["", "# nothing\n", "---\n---\n"] {
        assert_eq!(read_file(empty.as_bytes(), "f").unwrap_err().errors[0].problem, Problem::Empty, "{empty:?}");
    }
    let found = errors(&format!("{WORKFLOW}---\nkind: [\n"));
    assert!(found[0].starts_with("f.yaml:") && found[0].contains("document 2: not YAML"), "{found:?}");
    assert!(errors("- a\n")[0].contains("found a list; allowed: an object with `apiVersion`"));
    let found = errors(&format!("{WORKFLOW}  disabled: true\n"));
    assert!(found[0].contains("the key \"disabled\" was already given on line 7"), "{found:?}");
}

#[test]
fn ten_megabytes_of_anything_are_answered() {
    let megabytes = |unit: &str, count: usize| unit.repeat(count * 1024 * 1024 / unit.len());
    for text in [
        megabytes("a", 10),
        megabytes("- ", 7),
        megabytes("[", 7),
        megabytes("a: b\n", 2),
        megabytes("\"", 7),
        megabytes("---\n", 7),
        megabytes("{a: ", 7),
        megabytes("x:\ty\n", 1),
    ] {
        assert!(read_file(text.as_bytes(), "f").is_err());
    }
    let data = format!("{TEMPLATE}    # {}\n", megabytes("x", 7));
    assert_eq!(read(&data).len(), 1);
}

#[test]
fn secrets_of_a_machine_stay_out_of_debug_output() {
    let all =
        read("apiVersion: tinkerbell.org/v1alpha1\nkind: Hardware\nmetadata: {name: a}\nspec: {userData: s3cret}\n");
    assert!(!format!("{all:?}").contains("s3cret"));
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_file(&bytes, "f");
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0usize..1000, with in "[-:\\[\\]{}&*!|>'\"#\\n ?<~0]{0,3}", cut in 0usize..20) {
        let text = format!("{MACHINE}---\n{TEMPLATE}---\n{WORKFLOW}");
        let at = at.min(text.len());
        let damaged = format!("{}{with}{}", &text[..at], &text[(at + cut).min(text.len())..]);
        match read_file(damaged.as_bytes(), "f") {
            Ok(all) => {
                let yaml: Vec<_> = all.iter().map(Manifest::to_yaml).collect();
                prop_assert_eq!(read_file(yaml.join("---\n").as_bytes(), "f").unwrap(), all);
            }
            Err(found) => prop_assert!(!found.errors.is_empty()),
        }
    }
}
