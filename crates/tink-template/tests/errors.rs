//! What a user reads when a template fails: where, what, and what to do.

#![expect(clippy::unwrap_used, reason = "a helper that fails has failed its test")]

use tink_template::{Data, Position, RenderError, render};
use tink_workflow::Limits;

fn data() -> Data {
    Data::new().hardware_map([("device_1", "08:00:27:00:00:01"), ("device_2", "08:00:27:00:00:02")]).hardware(
        serde_json::json!({
            "metadata": {"name": "sm01"},
            "spec": {
                "disks": [{"device": "/dev/sda"}],
                "userData": "secret",
                "metadata": {"instance": {"id": "i-1", "crypted_root_password": "secret"}},
                "interfaces": [{"dhcp": {"mac": "08:00:27:00:00:01", "lease_time": 86400, "uefi": true},
                                "netboot": {"allowPXE": true}}],
            },
        }),
    )
}

fn rendered(template: &str) -> Result<String, RenderError> {
    render(template, &data(), &Limits::default()).map(|rendered| rendered.text)
}

fn message(template: &str) -> String {
    rendered(template).unwrap_err().to_string()
}

#[test]
fn a_missing_key_names_the_nearest_and_all_others() {
    assert_eq!(
        message("a\nb: {{ .device1 }}"),
        "line 2, column 7: no key \"device1\" in .; did you mean \"device_1\"? \
         (keys there: Hardware, device_1, device_2, hardware, references)"
    );
    assert_eq!(
        message("{{ .hardware.spec.disk }}"),
        "line 1, column 4: no key \"disk\" in .hardware.spec; did you mean \"disks\"? \
         (keys there: disks, interfaces, metadata, userData)"
    );
    assert_eq!(
        message("{{ .references.lvm.spec }}"),
        "line 1, column 4: no key \"lvm\" in .references; it has no keys at all"
    );
}

#[test]
fn a_missing_struct_field_names_the_fields() {
    let text = message("{{ (index .Hardware.Interfaces 0).DHCP.Mac }}");
    assert!(text.contains("no key \"Mac\" in (…).DHCP; did you mean \"MAC\"? (keys there: MAC, Hostname,"), "{text}");
}

#[test]
fn places_are_lines_and_columns_of_the_source() {
    let at = |template: &str| rendered(template).unwrap_err().position().unwrap();
    assert_eq!(at("é {{ .x }}"), Position { line: 1, column: 6 });
    assert_eq!(at("a\n\n  {{ if"), Position { line: 3, column: 3 });
    assert_eq!(at("{{ if true }}\nnever ended\n"), Position { line: 1, column: 12 });
    assert_eq!(at("{{ upper\n 1 }}"), Position { line: 2, column: 2 });
    assert_eq!(at("x\n{{- /* c\n */ -}}\n{{ fail \"no\" }}"), Position { line: 4, column: 4 });
    assert_eq!(at("{{ define \"t\" }}\n{{ .x }}{{ end }}\n\n{{ template \"t\" . }}"), Position { line: 2, column: 4 });
}

#[test]
fn functions_say_what_they_want() {
    assert_eq!(
        message("{{ uper .device_1 }}"),
        "template syntax, line 1, column 4: there is no function `uper`; did you mean `upper`?"
    );
    assert_eq!(
        message("{{ env \"HOME\" }}"),
        "template syntax, line 1, column 4: the function `env` is left out on purpose: its result would differ from one \
         rendering to the next"
    );
    assert_eq!(message("{{ upper }}"), "line 1, column 4: `upper` wants 1 argument, not 0");
    assert_eq!(
        message("{{ upper .hardware }}"),
        "line 1, column 10: the first argument of `upper` must be a string, but is of type map[string]interface {}; convert \
         it with `toString`"
    );
    assert_eq!(
        message("{{ range until .hardware.spec.missing }}{{ end }}").split(';').next().unwrap(),
        "line 1, column 16: no key \"missing\" in .hardware.spec (keys there: disks, interfaces, metadata, userData)"
    );
    assert_eq!(message("{{ fail \"no disk\" }}"), "line 1, column 4: `fail` failed: no disk");
    assert_eq!(
        message("{{ eq (index .hardware.spec.interfaces 0).dhcp.lease_time 86400 }}"),
        "line 1, column 4: `eq` failed: a float64 cannot be compared with a int; numbers of JSON and YAML data are float64: \
         write 1.0, or convert with `int`"
    );
}

#[test]
fn no_error_shows_a_value_of_the_data() {
    for template in [
        "{{ .hardware.spec.userData.x }}",
        "{{ index .hardware.spec.userData \"x\" }}",
        "{{ range .hardware.spec.userData }}{{ end }}",
        "{{ .hardware.spec.metadata.instance.password }}",
        "{{ add1 .hardware.spec.userData | upper }}",
        "{{ template .hardware.spec.userData }}",
        "{{ first .hardware.spec.userData }}",
        "{{ lt .hardware.spec 1 }}",
    ] {
        assert!(!message(template).contains("secret"), "{template}");
    }
    assert!(!format!("{:?}", data()).contains("secret"));
}

#[test]
fn the_reserved_keys_win_over_the_hardware_map() {
    let data = Data::new().hardware_map([("hardware", "x"), ("Hardware", "x"), ("references", "x"), ("a", "b")]);
    let text = render(
        "{{ kindOf .hardware }} {{ kindOf .Hardware }} {{ kindOf .references }} {{ .a }}",
        &data,
        &Limits::default(),
    );
    assert_eq!(text.unwrap().text, "map struct map b");
}

#[test]
fn without_hardware_there_are_zero_values() {
    let template = "{{ .Hardware.Disks }}{{ .Hardware.UserData }}{{ len .Hardware.Interfaces }}{{ .Hardware.Metadata.State }}\
                    {{ if .Hardware.Metadata.Instance }}instance{{ end }} {{ len .hardware.spec.auto }}{{ len .references }}";
    assert_eq!(render(template, &Data::new(), &Limits::default()).unwrap().text, "[]0 00");
}

#[test]
fn the_older_hardware_has_the_names_of_go() {
    assert_eq!(rendered("{{ index .Hardware.Disks 0 }}").unwrap(), "/dev/sda");
    assert_eq!(rendered("{{ range .Hardware.Disks }}{{ formatPartition . 1 }}{{ end }}").unwrap(), "/dev/sda1");
    assert_eq!(rendered("{{ .Hardware.Metadata.Instance.ID }}").unwrap(), "i-1");
    let first = "{{ with index .Hardware.Interfaces 0 }}";
    let field = |path: &str| rendered(&format!("{first}{{{{ {path} }}}}{{{{ end }}}}"));
    assert_eq!(field(".DHCP.MAC").unwrap(), "08:00:27:00:00:01");
    // Integers stay integers here, unlike those below `hardware`.
    assert_eq!(field(".DHCP.LeaseTime").unwrap(), "86400");
    assert_eq!(field("eq .DHCP.LeaseTime 86400").unwrap(), "true");
    assert_eq!(field(".Netboot.AllowPXE").unwrap(), "true");
    assert_eq!(field(".DHCP.IP").unwrap(), "<nil>");
    assert!(field(".DHCP.IP.Address").is_err());
    assert!(rendered("{{ .Hardware.disks }}").is_err());
}

#[test]
fn each_line_of_the_text_knows_its_line_of_the_source() {
    let template = "name: a\n{{- range $i, $d := list 1 2 }}\n- d: {{ $d }}\n  x: y\n{{- end }}\n{{ \"p\\nq\" }}\n{{ define \"t\" }}\nin t\n{{ end }}{{ template \"t\" }}end";
    let rendered = render(template, &Data::new(), &Limits::default()).unwrap();
    let lines: Vec<(&str, Option<usize>)> =
        rendered.text.lines().enumerate().map(|(i, line)| (line, rendered.source_line(i + 1))).collect();
    assert_eq!(
        lines,
        [
            ("name: a", Some(1)),
            ("- d: 1", Some(3)),
            ("  x: y", Some(4)),
            ("- d: 2", Some(3)),
            ("  x: y", Some(4)),
            ("p", Some(6)),
            ("q", Some(6)),
            ("", Some(7)),
            ("in t", Some(8)),
            ("end", Some(9)),
        ]
    );
    assert_eq!(rendered.source_line(0), None);
    assert_eq!(rendered.source_line(99), None);
}
