//! Positions, bounds and errors of the parser.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::Config;
use tink_yaml::{Bounds, Dialect, Kind, Problem, parse_documents, parse_first, to_yaml};

fn one(text: &str) -> tink_yaml::Node {
    parse_documents(text, &Bounds::default()).unwrap().remove(0)
}

fn error(text: &str) -> tink_yaml::YamlError {
    parse_documents(text, &Bounds::default()).unwrap_err()
}

#[test]
fn every_node_knows_its_line_and_column() {
    let root = one("name: x\ntasks:\n  - name: first\n    volumes: [ a, b ]\n    empty:\n    text: |\n      é\n");
    assert_eq!((root.line, root.column), (1, 1));
    let tasks = root.get("tasks").unwrap();
    assert_eq!((tasks.line, tasks.column), (3, 3));
    let task = &tasks.items()[0];
    assert_eq!((task.line, task.column), (3, 5));
    assert_eq!((task.entries()[1].0.line, task.entries()[1].0.column), (4, 5));
    let volumes = task.get("volumes").unwrap();
    assert_eq!((volumes.line, volumes.column), (4, 14));
    assert_eq!((volumes.items()[1].line, volumes.items()[1].column), (4, 19));
    let empty = task.get("empty").unwrap();
    assert!(empty.is_null());
    assert_eq!((empty.line, empty.column), (5, 5), "an empty value points to its key");
}

#[test]
fn only_the_first_document_is_read_when_asked_for() {
    let first = parse_first("a: 1\n---\n\tb: [", &Bounds::default()).unwrap();
    assert_eq!(first.node.unwrap().get("a").unwrap().text(), Some("1"));
    assert_eq!(first.second_line, Some(2));
    assert_eq!(parse_first("# nothing\n", &Bounds::default()).unwrap().node, None);
    assert_eq!(parse_first("a: 1\n", &Bounds::default()).unwrap().second_line, None);
}

#[test]
fn aliases_and_merge_keys_are_expanded() {
    let root = one("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nmany:\n  <<: [{y: 9}, *b]\nagain: *b\n");
    let json = root.to_json(Dialect::Core).unwrap();
    assert_eq!(json["use"], serde_json::json!({"y": 3, "x": 1}));
    assert_eq!(json["many"], serde_json::json!({"y": 9, "x": 1}));
    assert_eq!(json["again"], serde_json::json!({"x": 1, "y": 2}));
    assert_eq!(one("'<<': 1").get("<<").unwrap().text(), Some("1"), "a quoted << is a key like any other");
}

#[test]
fn a_merge_of_something_else_is_refused() {
    assert_eq!(
        error("a:\n  <<: 3\n").to_string(),
        "line 2, column 7: a merge key `<<` needs a mapping or a list of mappings, found a single value"
    );
    assert_eq!(error("a:\n  <<: [[]]\n").problem, Problem::Merge { found: "a list" });
}

#[test]
fn duplicate_keys_are_refused_unless_allowed() {
    let found = error("a: 1\nb: 2\n'a': 3\n");
    assert_eq!((found.line, found.column), (3, 1));
    assert_eq!(found.problem, Problem::DuplicateKey { key: "a".into(), first_line: 1 });
    let lenient = Bounds { duplicate_keys_allowed: true, ..Bounds::default() };
    let root = parse_documents("a: 1\na: 2\n", &lenient).unwrap().remove(0);
    assert_eq!(root.get("a").unwrap().text(), Some("2"));
    assert_eq!(root.to_json(Dialect::Kubernetes).unwrap(), serde_json::json!({"a": 2}));
}

#[test]
fn a_billion_laughs_is_refused_in_bounded_memory() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for nth in 1..12 {
        let alias = format!("*a{}", nth - 1);
        text += &format!("a{nth}: &a{nth} [{}]\n", vec![alias; 9].join(", "));
    }
    assert!(matches!(error(&text).problem, Problem::TooBig { unit: "values", .. }));
    let mut text = format!("a: &a {}\nb:\n", "x".repeat(100_000));
    text += &"- *a\n".repeat(10_000);
    assert!(matches!(error(&text).problem, Problem::TooBig { unit: "bytes", .. }));
}

#[test]
fn nesting_is_bounded_with_aliases_expanded() {
    assert!(matches!(error(&"[".repeat(100_000)).problem, Problem::TooDeep { max: 128 }));
    assert!(matches!(error(&"- ".repeat(100_000)).problem, Problem::TooDeep { max: 128 }));
    let text = format!("a: &a {}{}\nb: {}*a{}\n", "[".repeat(100), "]".repeat(100), "[".repeat(40), "]".repeat(40));
    assert!(matches!(error(&text).problem, Problem::TooDeep { max: 128 }));
}

#[test]
fn an_alias_to_itself_or_to_nothing_is_refused() {
    assert_eq!(error("a: &x [*x]\n").problem, Problem::AliasOfItself);
    assert!(matches!(error("a: *nobody\n").problem, Problem::Syntax { .. }));
    assert!(matches!(error("a: &x 1\n---\nb: *x\n").problem, Problem::Syntax { .. } | Problem::AliasOfItself));
}

#[test]
fn syntax_errors_say_where_and_what_to_do() {
    let tab = error("a:\n\tb: 1\n");
    assert_eq!(tab.line, 2);
    assert!(tab.to_string().contains("a tab indents this line"), "{tab}");
    let colon = error("a: b: c\n");
    assert_eq!((colon.line, colon.column), (1, 5));
    assert!(colon.to_string().contains("must be quoted"), "{colon}");
    let template = error("a: {{ .x }}-1\nb: 1\n");
    assert!(template.to_string().contains("starts with `{{`"), "{template}");
    let at = error("a: @x\n");
    assert!(at.to_string().contains("starts with `@`"), "{at}");
}

#[test]
fn a_tab_before_the_first_value_is_refused() {
    for (text, line, column) in
        [("\t- a", 1, 1), ("\ta: 1\n", 1, 1), ("# c\n\n  \t[a]\n", 3, 3), ("\t# c\na: 1\n", 1, 1)]
    {
        let found = error(text);
        assert_eq!((found.line, found.column), (line, column), "{text:?}: {found}");
        assert!(found.to_string().contains("a tab cannot be used as indentation; YAML allows only spaces"), "{found}");
    }
    assert_eq!(one("[\n\ta]\n").items()[0].text(), Some("a"), "inside brackets it may");
    assert_eq!(one("a:\t1\n").get("a").unwrap().text(), Some("1"));
}

#[test]
fn texts_and_document_counts_are_bounded() {
    let bounds = Bounds { text_bytes_max: 10, documents_max: 2, ..Bounds::default() };
    let found = parse_documents("a: 1234567890", &bounds).unwrap_err();
    assert_eq!(found.problem, Problem::TextTooLong { bytes: 13, max: 10 });
    let found = parse_documents("--- a\n", &bounds).map(|documents| documents.len());
    assert_eq!(found, Ok(1));
    let bounds = Bounds { documents_max: 2, ..Bounds::default() };
    let found = parse_documents("a\n---\nb\n---\nc\n", &bounds).unwrap_err();
    assert_eq!(found.problem, Problem::TooManyDocuments { max: 2 });
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let root = one("\u{feff}a: 1\r\nb: |\r\n  x\r\n  y\r\n");
    assert_eq!(root.get("b").unwrap().text(), Some("x\ny\n"));
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof!["[ -~\n\té😀]{0,100}", "[0-9yYnNoOtTfF.:+_eExX~-]{1,6}", "( |\n|a|b: |# |'|\"){0,40}"];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("no integer", |value| value.is_finite() && value.fract() != 0.0).prop_map(Into::into),
        text.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,200}|[-:\\[\\]{}&*a!|>'\"#%@, \\n\\t?<]{0,80}") {
        if let Ok(documents) = parse_documents(&text, &Bounds::default()) {
            for document in documents {
                let _ = document.go_string();
                let _ = document.go_int64();
                if let Ok(json) = document.to_json(Dialect::Core) {
                    let _ = to_yaml(&json);
                }
                let _ = document.to_json(Dialect::Kubernetes);
            }
        }
    }

    #[test]
    fn a_damaged_document_never_panics(at in 0usize..200, with in "[-:\\[\\]{}&*!|>'\"#\\n\\t ?<]{0,3}", cut in 0usize..4) {
        let text = "base: &b\n  x: [1, 2, {a: b}]\nuse:\n  <<: *b\n  text: |-\n    lines\n    more\n  q: \"a\\tb\"\n? k\n: v\n";
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        let damaged = format!("{}{with}{}", &text[..at], &text[end..]);
        if let Ok(documents) = parse_documents(&damaged, &Bounds::default()) {
            prop_assert!(documents.iter().all(|node| node.line >= 1 && node.column >= 1));
        }
    }

    #[test]
    fn what_is_written_reads_back(value in json_value()) {
        let text = to_yaml(&value);
        let documents = parse_documents(&text, &Bounds::default())
            .map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let back = documents.first().map_or(serde_json::Value::Null, |node| node.to_json(Dialect::Kubernetes).unwrap());
        prop_assert_eq!(back, value, "{}", text);
    }
}

#[test]
fn the_kinds_are_what_they_look_like() {
    let root = one("a: []\nb: {}\nc: ''\nd: >-\n  x\n  y\n");
    assert!(root.get("a").unwrap().is_sequence());
    assert!(root.get("b").unwrap().is_mapping());
    assert!(!root.get("c").unwrap().is_null());
    assert!(matches!(&root.get("d").unwrap().kind, Kind::Scalar { text, .. } if text == "x y"));
}
