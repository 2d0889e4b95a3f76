use proptest::prelude::*;
use proptest::test_runner::Config;
use tink_workflow::{Limits, Namespaces, WorkflowSpec};

use super::{Finding, ParseErrors, Severity, parse};

fn read(text: &str) -> WorkflowSpec {
    parse(text, &Limits::default(), &|_| None).unwrap().spec
}

fn errors(text: &str) -> ParseErrors {
    parse(text, &Limits::default(), &|_| None).unwrap_err()
}

fn lines(text: &str) -> Vec<String> {
    errors(text).to_string().lines().map(str::to_owned).collect()
}

fn warnings(text: &str) -> Vec<String> {
    parse(text, &Limits::default(), &|_| None).unwrap().warnings.iter().map(Finding::to_string).collect()
}

/// A template around one action, which starts on line 10.
fn around(action: &str) -> String {
    let head = "version: \"0.1\"\nname: w\nglobal_timeout: 60\ntasks:\n- name: t\n  worker: m\n  actions:\n  - name: a\n    timeout: 5\n";
    format!("{head}{action}")
}

#[test]
fn real_scalars_are_read_as_upstream_reads_them() {
    let spec = read(
        "version: 0.1\nname: 12\nid: x\nglobal_timeout: 6_000\ntasks:\n- name: true\n  worker: 08:00:27:00:00:01\n  volumes: [/dev:/dev, ~, 5]\n  environment: {A: 1, 7: yes, N: ~, M: 0644}\n  actions:\n  - ~\n  - name: 2001-01-01\n    image: busybox:1\n    timeout: 0x10\n    command: [0644, true, ~, 1e3, 'x']\n    on-timeout: [a]\n    on-failure: [b, 1]\n    environment:\n    pid: host\n    namespaces: {network: host}\n",
    );
    assert_eq!((spec.version.as_str(), spec.name.as_str(), spec.global_timeout_s), ("0.1", "12", 6000));
    let task = &spec.tasks[0];
    assert_eq!((task.name.as_str(), task.worker.as_str()), ("true", "08:00:27:00:00:01"));
    assert_eq!(task.volumes, ["/dev:/dev", "5"]);
    let environment: Vec<_> = task.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(environment, ["7=yes", "A=1", "M=0644", "N="]);
    let action = &task.actions[0];
    assert_eq!((action.name.as_str(), action.timeout_s), ("2001-01-01", 16));
    assert_eq!(action.command, ["0644", "true", "1e3", "x"]);
    assert_eq!((action.on_timeout.join(","), action.on_failure.join(",")), ("a".into(), "b,1".into()));
    assert_eq!(action.namespaces, Some(Namespaces { network: "host".into(), pid: String::new() }));
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = "name: ''\nglobal_timeout: 1h\ntasks:\n- name: t\n  worker: \"\"\n  environment: [A=1]\n  actions:\n  - name: a\n    image: Bad:Ref\n    timeout: -5\n    command: ls -l\n    volumes: {a: b}\n  - name: a\n    image: [x]\n  - 5\n";
    let found = lines(text);
    let expected = [
        "1:7: name: no name; allowed: 1 to 199 bytes",
        "2:17: global_timeout: found `1h`; allowed: a whole number of seconds, unquoted; this would be 3600",
        "5:11: tasks[0].worker: no worker after rendering; allowed: the id of the worker that runs the task, often `{{.device_1}}` with that key in the hardware map",
        "6:16: tasks[0].environment: found a list; allowed: a mapping such as `KEY: value`",
        "9:12: tasks[0].actions[0].image: \"Bad:Ref\" is no image reference:",
        "10:14: tasks[0].actions[0].timeout: found `-5`; allowed: 0 (no limit) or a number of seconds",
        "11:14: tasks[0].actions[0].command: found `ls -l`; allowed: a list such as",
        "12:14: tasks[0].actions[0].volumes: found a mapping; allowed: a list such as",
        "13:11: tasks[0].actions[1].name: a second action named \"a\" in task \"t\"; allowed: action names are unique in their task",
        "14:12: tasks[0].actions[1].image: found a list; allowed: text",
        "15:5: tasks[0].actions[2]: found `5`; allowed: a mapping with `name` and `image`",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn what_is_missing_is_reported_where_it_belongs() {
    assert_eq!(lines("name: x\n"), ["1:1: tasks: no task; allowed: at least one task"]);
    assert_eq!(lines("name: x\ntasks: y\n"), ["2:8: tasks: found `y`; allowed: a list of tasks"]);
    assert_eq!(lines("- a\n"), ["1:1: found a list; allowed: a mapping with `name` and `tasks`"; 1]);
    assert_eq!(lines(""), ["1:1: the rendered template is empty; allowed: a mapping with `name` and `tasks`"]);
    assert_eq!(
        lines(&around("    image: a:1\n    : x\n"))[0].split(';').next(),
        Some("11:5: tasks[0].actions[0]: found `:` without a key before it")
    );
    let no_name = lines("tasks:\n- worker: w\n  actions:\n  - image: a:1\n");
    assert!(no_name.iter().any(|line| line.starts_with("2:3: tasks[0].name: no name")), "{no_name:?}");
    assert!(no_name.iter().any(|line| line.starts_with("4:5: tasks[0].actions[0].name: no name")), "{no_name:?}");
}

#[test]
fn bad_yaml_names_its_place() {
    let found = errors("name: x\ntasks:\n\t- a\n");
    assert_eq!(found.errors.len(), 1);
    assert_eq!(found.errors[0].rendered_line, 3);
    assert!(found.to_string().contains("a tab indents this line"), "{found}");
    let limits = Limits { rendered_bytes_max: 10, ..Limits::default() };
    let found = parse("name: 1234567", &limits, &|_| None).unwrap_err();
    assert_eq!(found.to_string(), "1:1: the rendered text has 13 bytes; at most 10 are allowed");
}

#[test]
fn the_line_of_the_source_is_shown_where_it_differs() {
    let text = "name: x\ntasks:\n- name: t\n  actions: []\n";
    let found = parse(text, &Limits::default(), &|line| (line > 2).then_some(line + 4)).unwrap_err();
    assert_eq!(found.errors[0].source_line, Some(7));
    assert!(found.to_string().ends_with("(line 7 of the template)"), "{found}");
    assert_eq!(found.errors[0].severity, Severity::Error);
}

#[test]
fn a_sound_template_has_no_warnings() {
    let sound = around(
        "    image: quay.io/tinkerbell/actions/kexec:v1\n    pid: host\n    volumes: [/dev:/dev, /a:/b:ro]\n    environment: {A: x, B: 5, C: '0644'}\n",
    );
    assert_eq!(warnings(&sound), Vec::<String>::new());
}

#[test]
fn keys_that_upstream_ignores_are_warned_of() {
    let text = around(
        "    image: a:1\n    args: [x]\n    retries: 3\n    if: x\n    on_failure: [y]\n    imagee: z\n    other: 1\n    on-timeout: [z]\n",
    );
    let expected = [
        "11:5: tasks[0].actions[0].args: unknown key, ignored; arguments of the image's entrypoint go into `command`",
        "12:5: tasks[0].actions[0].retries: unknown key, ignored; an action of this schema runs once",
        "13:5: tasks[0].actions[0].if: unknown key, ignored; actions of this schema have no conditions; use `{{ if … }}` in the template",
        "14:5: tasks[0].actions[0].on_failure: unknown key, ignored; did you mean `on-failure`?",
        "15:5: tasks[0].actions[0].imagee: unknown key, ignored; did you mean `image`?",
        "16:5: tasks[0].actions[0].other: unknown key, ignored; known keys: name, image, timeout, command, on-timeout, on-failure, volumes, environment, pid, namespaces, ends_machine",
        "17:17: tasks[0].actions[0].on-timeout: today's upstream server ignores it; it runs with this server and those of 2021",
    ];
    assert_eq!(warnings(&text), expected);
}

#[test]
fn timeouts_of_nothing_are_no_limit_and_warned_of() {
    let text = "version: 0.1\nname: w\nglobal_timeout: 0\ntasks:\n- name: t\n  worker: m\n  actions:\n  - name: a\n    image: a:1\n";
    let parsed = parse(text, &Limits::default(), &|_| None).unwrap();
    assert_eq!((parsed.spec.global_timeout_s, parsed.spec.tasks[0].actions[0].timeout_s), (0, 0));
    let found: Vec<_> = parsed.warnings.iter().map(Finding::to_string).collect();
    assert!(found[0].starts_with("3:17: global_timeout: 0 or absent: the workflow may take for ever"), "{found:?}");
    assert!(found[1].starts_with("8:5: tasks[0].actions[0].timeout: 0 or absent: the action may take for ever; upstream's agent instead times it out at once"), "{found:?}");
}

#[test]
fn images_that_kexec_or_change_are_warned_of() {
    let one = |action: &str| warnings(&around(action)).join("\n");
    assert!(
        one("    image: kexec:v1\n").contains("actions[0].pid: kexec does nothing outside the host's PID namespace")
    );
    assert!(
        one("    image: kexec:v1\n    namespaces: {pid: 'container:x'}\n    pid: host\n")
            .contains("actions[0].pid: kexec does nothing")
    );
    assert!(one("    image: x/waitdaemon:v1\n    environment: {IMAGE: x/reboot:v1}\n").contains("reboot does nothing"));
    assert_eq!(one("    image: x/waitdaemon:v1\n    pid: host\n    environment: {IMAGE: x/reboot:v1}\n"), "");
    assert_eq!(one("    image: x/reboot:v1\n    volumes: ['/worker:/worker']\n"), "");
    assert_eq!(one("    image: localhost/actions:latest\n"), "");
    assert!(one("    image: a\n").contains("image: no tag, so `latest`"));
    assert!(one("    image: r:5000/a\n").contains("image: no tag, so `latest`"));
    assert!(one("    image: a:latest\n").contains("image: the tag `latest` may change"));
    let digest = "0123456789abcdef".repeat(4);
    assert_eq!(one(&format!("    image: a@sha256:{digest}\n")), "");
}

#[test]
fn volumes_and_values_that_do_something_else_are_warned_of() {
    let one = |action: &str| warnings(&around(&format!("    image: a:1\n{action}"))).join("\n");
    for (volume, words) in [
        ("/a", "names no target"),
        ("/a:b", "no absolute path"),
        (":/b", "has an empty part"),
        ("/a:/b:ro,quick", "unknown option \"quick\""),
        ("/a:/b:/c:ro", "more than three parts"),
        ("data:/b", "names a volume"),
    ] {
        let found = one(&format!("    volumes: ['{volume}']\n"));
        assert!(found.contains(words) && found.contains("volumes[0]"), "{volume}: {found}");
    }
    assert_eq!(one("    volumes: [/a:/b, '/a:/b:ro,rslave']\n"), "");
    assert!(
        one("    environment: {MODE: 0644}\n")
            .contains("11:25: tasks[0].actions[0].environment.MODE: `0644` looks like the number 420")
    );
    assert!(one("    environment: {X: yes}\n").contains("looks like a boolean"));
    assert!(one("    environment: {X: ~}\n").contains("looks like null"));
    assert!(one("    environment: {X: 1e3}\n").contains("looks like the number 1000"));
    assert_eq!(one("    environment: {X: 10, Y: 1.5, Z: 'yes', E: }\n"), "");
    assert!(one("    pid: host\n    namespaces: {pid: x}\n").contains("\"host\" is overruled by namespaces.pid \"x\""));
}

#[test]
fn only_the_first_document_counts() {
    let text = around("    image: a:1\n---\n\tnot: [yaml\n");
    assert_eq!(warnings(&text), ["11:1: a second document starts here and is ignored; a template is one document"]);
}

#[test]
fn a_flood_of_findings_is_cut() {
    let many: String = (0..5000).map(|nth| format!("k{nth}: 1\n")).collect();
    let parsed = parse(&(many + &around("    image: a:1\n")), &Limits::default(), &|_| None).unwrap();
    assert_eq!(parsed.warnings.len(), 201);
    assert!(parsed.warnings[200].message.starts_with("and 48"), "{}", parsed.warnings[200]);
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,100}|[-:\\[\\]{}&*a!|>'\"#%@, \\n\\t?<~0]{0,80}") {
        if let Err(found) = parse(&text, &Limits::default(), &|_| None) {
            prop_assert!(!found.errors.is_empty() && !found.to_string().is_empty());
        }
    }

    #[test]
    fn a_damaged_template_never_panics(at in 0usize..900, with in "[-:\\[\\]{}&*!|>'\"#\\n ?<~0]{0,3}", cut in 0usize..20) {
        let text = include_str!("tests_template.yaml");
        let at = at.min(text.len());
        let damaged = format!("{}{with}{}", &text[..at], &text[(at + cut).min(text.len())..]);
        match parse(&damaged, &Limits::default(), &|line| Some(line)) {
            Ok(parsed) => prop_assert!(tink_workflow::validate(&parsed.spec, &Limits::default()).is_empty()),
            Err(found) => prop_assert!(found.errors.iter().all(|error| error.rendered_line >= 1)),
        }
    }
}

#[test]
fn an_action_may_say_that_it_ends_the_machine() {
    let text = |value: &str| {
        format!(
            "name: x\ntasks:\n- name: a\n  worker: w\n  actions:\n  - {{name: b, image: i, ends_machine: {value}}}\n"
        )
    };
    let ends = |value: &str| {
        let parsed = parse(&text(value), &Limits::default(), &|_| None);
        parsed.map(|parsed| parsed.spec.tasks[0].actions[0].ends_machine).map_err(|errors| errors.to_string())
    };
    assert_eq!((ends("true"), ends("false"), ends("null")), (Ok(true), Ok(false), Ok(false)));
    let error = ends("soon").unwrap_err();
    assert!(error.contains("tasks[0].actions[0].ends_machine: found `soon`; allowed: true or false"), "{error}");
}
